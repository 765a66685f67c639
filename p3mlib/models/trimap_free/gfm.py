"""GFM, Glance and Focus Matting (Li et al., IJCV 2022) with ResNet-34: a glance and a focus decoder on one encoder."""

import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock
from torch import nn

from p3mlib.losses import alpha_loss, full_precision, laplacian_loss, same_shape, transition_mask, trimap_labels
from p3mlib.models.blocks import PyramidMerge, convolutions, upsample
from p3mlib.models.network import MattingNetwork, MattingOutput, Stage, fuse
from p3mlib.models.resnet import CHANNELS, ResNet, scaled

ROSTA = ("TT", "FT", "BT")
BINS = (1, 3, 5)
KERNEL = 50  # pixels at 512: erosion and dilation behind the two-class glances


def _decoder(inputs, *channels, bare=0):
    """Convolutions of a block; `bare` > 0 ends in a convolution to that many channels without norm and activation."""
    block = convolutions(inputs, *channels)
    if bare:
        block.append(nn.Conv2d(channels[-1], bare, 3, padding=1))
    return block


class GFM(MattingNetwork):
    """Glance and Focus Matting.

    `segmentation` holds the glance's probabilities (sigmoid, as published) of background, transition and foreground. The glance
    of FT knows foreground and the rest, which counts as transition; that of BT background and the rest. `detail` is the alpha
    that the focus decoder gives where the glance says transition.

    Args:
        width: multiplies every channel count.
        rosta: what the glance separates: "TT" (trimap), "FT" (eroded foreground), "BT" (dilated foreground).
    Shape:
        image (N, 3, H, W) in 0-255, sides multiples of 32.
    Raises:
        ValueError: another `rosta`.
    """

    mean, std = (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)
    backbones = {"encoder": ("resnet34", ((r"fc\.", None),))}
    official = (
        (r"resnet\.fc\.", None),
        (r"resnet\.", "encoder."),
        (r"encoder0\.0\.", "encoder.conv1."),
        (r"encoder0\.1\.", "encoder.bn1."),
        (r"encoder1\.1\.", "encoder.layer1."),
        (r"encoder([234])\.", r"encoder.layer\1."),
        (r"psp_module\.stages\.(\d)\.1\.", r"bins.\1."),
        (r"psp_module\.bottleneck\.", "bottleneck."),
        (r"psp(\d)\.", r"pyramid.\1."),
        (r"decoder(\d)_g\.", r"glance.\1."),
        (r"decoder(\d)_f\.", r"focus.\1."),
        (r"bridge_block\.", "bridge."),
    )

    def __init__(self, width=1.0, rosta="TT"):
        super().__init__()
        if rosta not in ROSTA:
            raise ValueError(f"no representation '{rosta}'; there are {', '.join(ROSTA)}")
        self.rosta = rosta
        self.encoder = ResNet(BasicBlock, (3, 4, 6, 3), width)
        c1, c2, c3, c4 = (scaled(c, width) for c in CHANNELS)
        self.uncounted_parameters = 1000 * c4 + 1000  # the official encoder's classifier
        self.bins = nn.ModuleList(nn.Conv2d(c4, c4, 1, bias=False) for _ in BINS)
        self.bottleneck = PyramidMerge(c4, len(BINS), c4)
        self.pyramid = nn.ModuleDict({str(i): convolutions(c4, c) for i, c in ((1, c1), (2, c1), (3, c2), (4, c3))})
        self.bridge = convolutions(c4, c4, c4, c4)
        for module in self.bridge:
            if isinstance(module, nn.Conv2d):
                module.dilation = module.padding = (2, 2)
        self.glance = self._branch((c1, c2, c3, c4), 3 if rosta == "TT" else 2)
        self.focus = self._branch((c1, c2, c3, c4), 1)

    @staticmethod
    def _branch(channels, outputs):
        c1, c2, c3, c4 = channels
        return nn.ModuleList(
            [
                _decoder(2 * c1, c1, c1, bare=outputs),
                _decoder(2 * c1, c1, c1, c1),
                _decoder(2 * c2, c2, c2, c1),
                _decoder(2 * c3, c3, c3, c2),
                _decoder(2 * c4, c4, c4, c3),
            ]
        )

    def forward(self, image):
        """(N, 3, H, W) -> MattingOutput."""
        self.check(image)
        maps = self.encoder(image)
        glance = torch.sigmoid(self._glance(maps[4]))
        focus = torch.sigmoid(self._focus(maps))
        segmentation, detail = self._read(glance, focus)
        if self.rosta == "TT":
            alpha = fuse(segmentation, detail)
        else:  # certain where the glance is, else the focus decoder's
            first = (glance[:, :1] >= glance[:, 1:]).to(focus.dtype).detach()
            alpha = torch.clamp(1 - first + focus, max=1) if self.rosta == "FT" else torch.clamp(1 - first - focus, min=0)
        return MattingOutput(segmentation, detail, alpha, ())

    def _read(self, glance, focus):
        if self.rosta == "TT":
            return glance, focus
        nothing = torch.zeros_like(focus)
        if self.rosta == "FT":
            return torch.cat([nothing, glance], dim=1), focus
        return torch.cat([glance, nothing], dim=1), 1 - focus

    def _glance(self, deep):
        pooled = [conv(F.adaptive_avg_pool2d(deep, n)) for n, conv in zip(BINS, self.bins, strict=True)]
        context = F.relu(self.bottleneck(pooled, deep))
        x = upsample(self.glance[4](torch.cat([context, deep], dim=1)), 2)
        for level, factor in ((3, 2), (2, 4), (1, 8), (0, 16)):
            skip = upsample(self.pyramid[str(level + 1)](context), factor)
            x = upsample(self.glance[level](torch.cat([skip, x], dim=1)), 2)
        return x

    def _focus(self, maps):
        x = self.bridge(maps[4])
        for level in (4, 3, 2, 1, 0):
            order = (x, maps[level])
            x = upsample(self.focus[level](torch.cat(order, dim=1)), 2)
        return x

    def stages(self):
        """One stage; the four groups of the published loss with equal weight."""
        return (Stage("train", gfm_loss),)


def glance_labels(alpha, trimap, rosta):
    """Class that the glance should say, (N, H, W) int64, from alpha and trimap (N, 1, H, W).

    TT: 0 background, 1 transition, 2 foreground. FT: 1 where the whole kernel is opaque. BT: 1 where any of it is not clear.
    """
    if rosta == "TT":
        return trimap_labels(trimap)
    reach = max(1, round(KERNEL * alpha.shape[-1] / 512) // 2)
    spread = F.max_pool2d(1 - alpha if rosta == "FT" else alpha, 2 * reach + 1, 1, reach)
    return (spread[:, 0] == 0).long() if rosta == "FT" else (spread[:, 0] > 0).long()


@full_precision
def composition_difference(alpha, image, fg, bg):
    """sqrt(d^2 + 1e-12) between composite and image in colours of 0-255, divided by 255, summed over colours, mean over pixels.

    Args:
        alpha: (N, 1, H, W). image, fg, bg: (N, 3, H, W) in [0, 1].
    """
    same_shape(image=image, fg=fg, bg=bg)
    difference = 255 * (alpha * fg + (1 - alpha) * bg - image)
    return (difference.square() + 1e-12).sqrt().sum() / 255 / alpha.numel()


@full_precision
def _cross_entropy(scores, labels):
    return F.cross_entropy(scores, labels)


def gfm_loss(network, image, batch):
    """Terms of GFM's loss: cross entropy of the glance's probabilities (not of logits, as published), alpha and Laplacian of the
    focus on transition pixels and of the final alpha, composition; `total` is a quarter of their sum.
    """
    output, alpha = network(image), batch["alpha"]
    glance = {"TT": slice(None), "FT": slice(1, 3), "BT": slice(0, 2)}[network.rosta]
    mask = transition_mask(batch["trimap"])
    terms = {
        "ce_glance": _cross_entropy(output.segmentation[:, glance], glance_labels(alpha, batch["trimap"], network.rosta)),
        "alpha_focus": alpha_loss(output.detail, alpha, mask),
        "lap_focus": laplacian_loss(output.detail, alpha, mask),
        "alpha_fusion": alpha_loss(output.alpha, alpha),
        "lap_fusion": laplacian_loss(output.alpha, alpha),
        "comp_fusion": composition_difference(output.alpha, batch["image"], batch["fg"], batch["bg"]),
    }
    return {**terms, "total": 0.25 * sum(terms.values())}


def gfm(width=1.0, rosta="TT"):
    """GFM with ResNet-34; see `GFM`."""
    return GFM(width, rosta)
