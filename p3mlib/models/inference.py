"""Inference: alpha of an image of any size (RESIZE and HYBRID), and networks made fast for it, with nothing that only training
needs, `fused` modules, the memory format and precision that pay."""

import copy
import platform

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from skimage.transform import resize as sk_resize
from timm.layers import BatchNormAct2d
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized

from p3mlib.matte import refine
from p3mlib.models import winograd
from p3mlib.models.p3mnet.fused import make_quick
from p3mlib.models.p3mnet.integration import DBFI, NoSideHead
from p3mlib.models.p3mnet.p3mnet import P3MNet
from p3mlib.models.resnet import ResNet
from p3mlib.models.trimap_based.fba import StandardisedConv2d
from p3mlib.models.trimap_free.modnet import IBNorm, MobileNetV2

# Convolutions and the norms that follow them, of modules that are no Sequential.
_PAIRS = {
    MobileNetV2: (("conv_stem", "bn1"), ("conv_head", "bn2")),
    InvertedResidual: (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    DepthwiseSeparableConv: (("conv_dw", "bn1"), ("conv_pw", "bn2")),
}


class Fast(nn.Module):
    """A network for prediction; made by `fast`. It has every attribute of its network that it has no own of.

    Attributes:
        network: the network with its batch norms folded, for export. What runs is `call`: that network compiled, or a copy with
            quicker modules.
    Shape:
        as the network's; outputs are float32, `sides` is empty.
    """

    def __init__(self, network, dtype, compiled):
        super().__init__()
        self.network, self.dtype = network, dtype
        frozen = {"freezing": True} if next(network.parameters()).device.type == "cpu" else None
        self.call = torch.compile(network, dynamic=False, options=frozen) if compiled else _quick(network)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)

    @torch.inference_mode()
    def forward(self, image):
        """Normalised (N, 3, H, W) -> MattingOutput."""
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(image.device.type, self.dtype, enabled=self.dtype is not None):
            output = self.call(image)
        return type(output)(*(x.float() if isinstance(x, torch.Tensor) else x for x in output))


def fast(model, dtype=None, compiled=False):
    """A copy of a network for prediction: P3M-Net without side outputs, batch norms folded, channels last, and either compiled
    or with modules replaced by those of `fused` and `winograd`.

    Args:
        model:    on the device where it will run; it is not changed.
        dtype:    None for full precision, or torch.bfloat16 or torch.float16 for autocast. A processor of x86 that cannot compute
            in bfloat16 takes full precision for it, which is faster there.
        compiled: torch.compile, on a CPU with frozen weights; each image size is compiled once, which takes minutes and needs a
            C++ compiler.
    Returns:
        Fast. In full precision its outputs equal the model's up to rounding.
    """
    network = copy.deepcopy(unwrapped(model)).eval().requires_grad_(False)
    if dtype == torch.bfloat16 and next(network.parameters()).device.type == "cpu" and not has_bfloat16():
        dtype = None
    for module in list(network.modules()):
        if is_parametrized(module, "weight"):
            _settle(module)
        if isinstance(module, StandardisedConv2d):
            module.settle()
        if isinstance(module, DBFI):
            module.side = NoSideHead()
        if isinstance(module, nn.Sequential):
            _fold(module, zip(list(module._modules)[:-1], list(module._modules)[1:], strict=True))
        if isinstance(module, (BasicBlock, Bottleneck, ResNet)):
            _fold(module, ((f"conv{i}", f"bn{i}") for i in (1, 2, 3) if hasattr(module, f"conv{i}")))
        for kind, pairs in _PAIRS.items():
            if isinstance(module, kind):
                _fold(module, pairs)
    if dtype is not None:
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.to(dtype)  # once, instead of in every pass
    return Fast(network.to(memory_format=torch.channels_last), dtype, compiled)


def _quick(network):
    """A copy with quicker modules in place of the network's own; weights that they take as they are, both share."""
    network = copy.deepcopy(network, {id(t): t for t in (*network.parameters(), *network.buffers())})
    if isinstance(network, P3MNet):
        make_quick(network)
    winograd.use(network)
    return network


def has_bfloat16():
    """False for a processor of x86 without instructions for bfloat16, where it is emulated."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _settle(module):
    """Spectral norm, done once. PyTorch's own removal would take the weight from the model too, whose class a copy shares."""
    weight = module.weight.detach()
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    module.weight = nn.Parameter(weight, requires_grad=False)


def unwrapped(model):
    """The network inside DataParallel, torch.compile and the like."""
    while isinstance(inner := getattr(model, "_orig_mod", getattr(model, "module", None)), nn.Module):
        model = inner
    return model


def _fold(parent, pairs):
    for first, second in pairs:
        convolution, norm = getattr(parent, first), getattr(parent, second)
        if type(convolution) is not nn.Conv2d:
            continue
        if isinstance(norm, IBNorm):
            folded = norm.folded(convolution)
        elif type(norm) in (nn.BatchNorm2d, BatchNormAct2d):
            folded = fuse_conv_bn_eval(convolution, norm), getattr(norm, "act", nn.Identity())
        else:
            continue
        setattr(parent, first, folded[0])
        setattr(parent, second, folded[1])


LARGEST_SIDE = 1600


def network_size(side, ratio):
    """Side of the network's input for an image side: scaled, cut to a multiple of 32, at most 1600, at least 32."""
    scaled = int(side * ratio)
    return max(32, min(LARGEST_SIDE, scaled - scaled % 32))


def resize(array, shape, resizing="legacy"):
    """Bilinear resizing of a float (H, W) or (H, W, C) array.

    Args:
        shape:    (height, width) of the result.
        resizing: "legacy" as the official release (skimage 0.14: zeros beyond the border, no anti-aliasing), or "modern"
                  (edge repeated, Gaussian anti-aliasing when shrinking), or "area" (means over areas, as MODNet).
    Returns:
        float32; the input itself where the size is right already.
    """
    if array.shape[:2] == tuple(shape):
        return array.astype(np.float32, copy=False)
    if resizing == "area":
        planes = torch.from_numpy(np.ascontiguousarray(array, np.float32).reshape(*array.shape[:2], -1)).permute(2, 0, 1)
        small = F.interpolate(planes[None], tuple(shape), mode="area")[0].permute(1, 2, 0)
        return small.reshape(*shape, *array.shape[2:]).numpy()
    legacy = resizing == "legacy"
    options = {"mode": "constant", "anti_aliasing": False} if legacy else {"mode": "edge", "anti_aliasing": True}
    return sk_resize(array, shape, order=1, **options).astype(np.float32)


@torch.inference_mode()
def _forward(model, rules, images, size, resizing, trimaps=None):
    first = next(model.parameters())
    dtype = torch.float32 if isinstance(rules, Fast) else first.dtype  # autocast is Fast's own affair
    batch = []
    for i, image in enumerate(images):
        small = (resize(image, size, resizing) - np.float32(rules.mean)) / np.float32(rules.std)
        if trimaps is not None:
            plane = cv2.resize(np.float32(trimaps[i]), tuple(size)[::-1], interpolation=cv2.INTER_NEAREST)
            small = np.dstack([small, np.where(plane >= 1, 1, np.where(plane <= 0, 0, 0.5)).astype(np.float32)])
        batch.append(torch.from_numpy(small.transpose(2, 0, 1)))
    return model(torch.stack(batch).to(first.device, dtype))


def _planes(output):
    return output[:, 0].float().cpu().numpy()


def predict(model, image, strategy="resize", ratio=0.5, resizing="legacy", smallest=0, side=512, trimap=None):
    """Alpha of one image of any size.

    RESIZE: one pass at `ratio`, the final alpha is resized back. HYBRID: the segmentation at `ratio` decides what is
    certain; the rest comes from the detail branch at twice that ratio (at most full size). A network with a size rule of its
    own (`MattingNetwork.input_size`) follows that instead, in one pass.

    Args:
        model:    network in eval mode, `fast` or not, also inside DataParallel or torch.compile, in any precision.
        image:    (H, W, 3) float in [0, 1].
        strategy: "resize" or "hybrid". ratio: of the image's side. resizing: see `resize`; the network's own goes before it.
        smallest: an image with a shorter side is enlarged to it, and goes through once whatever the strategy; the official
            release does that for Swin-T with 512, on RWP and on free samples (`model.smallest_side`).
        side:     of the images that the network was trained on, for its own size rule.
        trimap:   (H, W) float in [0, 1] for a network that is given one (`model.channels` is 4); known pixels are its own.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: another strategy, an image that is not (H, W, 3), a trimap that is missing or of another size.
    Source:
        official inference of P3M-Net; size rule in `network_size`.
    """
    return predict_batch(model, [image], strategy, ratio, resizing, smallest, side, None if trimap is None else [trimap])[0]


def predict_batch(model, images, strategy="resize", ratio=0.5, resizing="legacy", smallest=0, side=512, trimaps=None):
    """Alphas of images of one size in one pass: those of `predict` up to rounding, in less time where they are small.

    Args:
        images, trimaps: lists of what `predict` takes. All others and errors: as there.
    Returns:
        list of (H, W) float32 in [0, 1].
    Raises:
        ValueError: also for images of several sizes.
    """
    rules, shape = unwrapped(model), images[0].shape[:2]
    resizing, given = rules.resizing or resizing, getattr(rules, "channels", 3) == 4
    for i, image in enumerate(images):
        if image.shape != (*shape, 3):
            raise ValueError(f"image must be (H, W, 3), got {image.shape}" + (", and not all of one size" if i else ""))
        if given and (trimaps is None or trimaps[i].shape != shape):
            raise ValueError(f"the network needs a trimap of {shape}, got {'none' if trimaps is None else trimaps[i].shape}")
    if strategy not in ("resize", "hybrid"):
        raise ValueError(f"no test strategy '{strategy}'; there are resize, hybrid")
    if min(shape) < smallest:
        strategy, ratio = "resize", smallest / min(shape)
    own = rules.input_size(*shape, side)
    coarse = _forward(model, rules, images, own or [network_size(s, ratio) for s in shape], resizing, trimaps if given else None)
    if own or strategy == "resize":
        alphas = _planes(coarse.alpha)
        if getattr(rules, "guided", False) and alphas.shape[1:] != shape:
            mirrored = _planes(_forward(model, rules, [image[:, ::-1] for image in images], own, resizing).alpha)
            return [refine(alpha, image) for alpha, image in zip((alphas + mirrored[:, :, ::-1]) / 2, images, strict=True)]
        alphas = [np.clip(resize(alpha, shape, resizing), 0, 1) for alpha in alphas]
        return [_known(*pair) for pair in zip(alphas, trimaps, strict=True)] if given else alphas
    labels = coarse.segmentation.argmax(1).cpu().numpy()
    fine = _forward(model, rules, images, [network_size(s, min(1.0, 2 * ratio)) for s in shape], resizing)
    found = []
    for label, detail in zip(labels, _planes(fine.detail), strict=True):
        trimap = resize((label * 0.5).astype(np.float32), shape, resizing)
        detail = np.clip(resize(detail, shape, resizing), 0, 1)
        # Interpolation leaves dust around 0 and 1 where the official pipeline has exact values.
        found.append(np.where(trimap < 1e-6, np.float32(0), np.where(trimap > 1 - 1e-6, np.float32(1), detail)))
    return found


def _known(alpha, trimap):
    return np.where(trimap >= 1, 1, np.where(trimap <= 0, 0, alpha)).astype(np.float32)
