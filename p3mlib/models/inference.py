"""The same network made fast for prediction: nothing that only training needs, `twins` of its modules, the memory format and
precision that pay."""

import copy

import torch
from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from p3mlib.models.integration import DBFI, NoSideHead
from p3mlib.models.p3mnet import P3MNet
from p3mlib.models.resnet import ResNet
from p3mlib.models.twins import make_quick


class Fast(nn.Module):
    """A network for prediction; made by `fast`.

    Attributes:
        network: the network with its batch norms folded, for export. What runs is `call`: that network compiled, or a copy with
            twins of its modules.
    Shape:
        as the network's; outputs are float32, `sides` is empty.
    """

    def __init__(self, network, dtype, compiled):
        super().__init__()
        self.network, self.dtype = network, dtype
        self.channels, self.mean, self.std = network.channels, network.mean, network.std
        quick = make_quick(network) if isinstance(network, P3MNet) else network
        frozen = {"freezing": True} if next(network.parameters()).device.type == "cpu" else None
        self.call = torch.compile(network, dynamic=False, options=frozen) if compiled else quick

    @torch.inference_mode()
    def forward(self, image):
        """Normalised (N, 3, H, W) -> MattingOutput."""
        image = image.contiguous(memory_format=torch.channels_last)
        with torch.autocast(image.device.type, self.dtype, enabled=self.dtype is not None):
            output = self.call(image)
        return type(output)(*(x.float() if isinstance(x, torch.Tensor) else x for x in output))


def fast(model, dtype=None, compiled=False):
    """A copy of a network for prediction: P3M-Net without side outputs, batch norms folded, channels last, and either compiled
    or with its modules replaced by their `twins`.

    Args:
        model:    on the device where it will run; it is not changed.
        dtype:    None for full precision, or torch.bfloat16 or torch.float16 for autocast.
        compiled: torch.compile, on a CPU with frozen weights; each image size is compiled once, which takes minutes and needs a
            C++ compiler.
    Returns:
        Fast. In full precision its outputs equal the model's up to rounding.
    """
    network = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(network.modules()):
        if is_parametrized(module, "weight"):  # spectral norm, done once
            remove_parametrizations(module, "weight")
        if isinstance(module, DBFI):
            module.side = NoSideHead()
        if isinstance(module, nn.Sequential):
            _fold(module, zip(list(module._modules)[:-1], list(module._modules)[1:], strict=True))
        if isinstance(module, (BasicBlock, Bottleneck, ResNet)):
            _fold(module, ((f"conv{i}", f"bn{i}") for i in (1, 2, 3) if hasattr(module, f"conv{i}")))
    if dtype is not None:
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.to(dtype)  # once, instead of in every pass
    return Fast(network.to(memory_format=torch.channels_last), dtype, compiled)


def _fold(parent, pairs):
    for first, second in pairs:
        convolution, norm = getattr(parent, first), getattr(parent, second)
        if type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d:  # not one with an activation in it
            setattr(parent, first, fuse_conv_bn_eval(convolution, norm))
            setattr(parent, second, nn.Identity())
