"""IndexNet Matting (Lu et al., ICCV 2019): MobileNetV2 that learns where to pool and un-pool."""

import torch
import torch.nn.functional as F
from torch import nn

from p3mlib.models.network import Stage, TrimapNetwork
from p3mlib.models.resnet import initialise, scaled
from p3mlib.models.trimap_based.dim import dim_loss

# Expansion, channels and blocks of MobileNetV2's stages; after which stages (0 is the stem) an index block pools.
STAGES = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
POOLED = (0, 2, 3, 4, 6)


def _conv(inputs, outputs, side=1, groups=1, dilation=1, padding=None):
    padding = dilation * (side // 2) if padding is None else padding
    convolution = nn.Conv2d(inputs, outputs, side, padding=padding, dilation=dilation, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True)]


class InvertedResidual(nn.Sequential):
    """Expansion, depthwise 3x3, projection. The input is padded before it is expanded, as in the authors' code: the depthwise
    convolution meets ReLU6(BN(0)) beyond the border, not 0."""

    def __init__(self, inputs, outputs, expansion):
        wide = inputs * expansion
        layers = _conv(inputs, wide) if expansion > 1 else []
        layers += _conv(wide, wide, 3, groups=wide, padding=0)
        super().__init__(*layers, nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.residual = inputs == outputs

    def forward(self, x):
        """(N, C, H, W) -> (N, outputs, H, W)."""
        y = super().forward(F.pad(x, (1, 1, 1, 1)))
        return x + y if self.residual else y


class IndexBlock(nn.ModuleList):
    """Weights for each of the four pixels of a 2x2 window, from its surroundings (many-to-one, depthwise, nonlinear, context)."""

    fused = True  # in evaluation, of a wide network: channels last; False orders planes

    def __init__(self, channels):
        super().__init__(
            nn.Sequential(
                nn.Conv2d(channels, channels, 4, 2, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU6(inplace=True),
                nn.Conv2d(channels, channels, 1, bias=False),
            )
            for _ in range(4)
        )

    def forward(self, x):
        """(N, C, H, W) -> weights for pooling, which sum to 1 over a window, and for un-pooling; both (N, C, H, W)."""
        if self.fused and not self.training and x.shape[1] >= 24:
            scores = torch.stack([branch(x).permute(0, 2, 3, 1) for branch in self]).sigmoid_()
            return _shuffled(scores.softmax(0)), _shuffled(scores)
        scores = torch.stack([branch(x) for branch in self], dim=2).sigmoid()
        return tuple(F.pixel_shuffle(weights.flatten(1, 2), 2) for weights in (scores.softmax(2), scores))


def _shuffled(weights):
    """(4, N, h, w, C), a weight for each pixel of a window -> (N, C, 2h, 2w), channels last."""
    _, n, h, w, c = weights.shape
    return weights.view(2, 2, n, h, w, c).permute(2, 3, 0, 4, 1, 5).reshape(n, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


class ASPP(nn.Module):
    """Four branches (1x1, depthwise 3x3 with rates 2, 4, 8) and the image's mean."""

    def __init__(self, inputs, middle, outputs):
        super().__init__()
        rates = [_conv(inputs, inputs, 3, groups=inputs, dilation=rate) + _conv(inputs, middle) for rate in (2, 4, 8)]
        branches = [_conv(inputs, middle), *rates, [nn.AdaptiveAvgPool2d(1), *_conv(inputs, middle)]]
        self.branches = nn.ModuleList(nn.Sequential(*layers) for layers in branches)
        self.merge = nn.Sequential(*_conv(len(branches) * middle, outputs), nn.Dropout(0.5))

    def forward(self, x):
        """(N, inputs, h, w) -> (N, outputs, h, w)."""
        maps = [branch(x) for branch in self.branches]
        return self.merge(torch.cat([*maps[:-1], maps[-1].expand_as(maps[0])], dim=1))


def _names():
    """Of the released checkpoint."""
    names = [(r"layer0\.", "layers.0."), (r"layer(\d)\.(\d)\.conv\.", r"layers.\1.\2.")]
    names += [(rf"index(\d)\.indexnet{i}\.", rf"index.\1.{i - 1}.") for i in range(1, 5)]
    names += [(rf"dconv_pp\.aspp{i}\.atrous_conv\.", f"aspp.branches.{i - 1}.") for i in range(1, 5)]
    names += [(r"dconv_pp\.global_avg_pool\.", "aspp.branches.4."), (r"dconv_pp\.bottleneck_conv\.", "aspp.merge.")]
    return (*names, (r"decoder_layer(\d)\.dconv\.", r"decoder.\1."), (r"pred\.0\.", "pred."), (r"pred\.1\.", "pred.3."))


def _timm_names():
    """Of timm's mobilenetv2_100; the stem, whose input differs, is left as it is."""
    names = [(r"(conv_stem|conv_head|bn2|classifier)\.", None), (r"bn1\.", "0.1.")]
    first = (("conv_dw", 0), ("bn1", 1), ("conv_pw", 3), ("bn2", 4))
    names += [(rf"blocks\.0\.0\.{old}\.", f"1.0.{new}.") for old, new in first]
    for i in range(1, len(STAGES)):
        parts = (("conv_pw", 0), ("bn1", 1), ("conv_dw", 3), ("bn2", 4), ("conv_pwl", 6), ("bn3", 7))
        names += [(rf"blocks\.{i}\.(\d)\.{old}\.", rf"{i + 1}.\1.{new}.") for old, new in parts]
    return tuple(names)


class IndexNet(TrimapNetwork):
    """MobileNetV2 without strides: index blocks pool five times, and un-pool in the decoder.

    Args:
        width: multiplies every channel count.
    Shape:
        (N, 4, H, W), ImageNet-normalised image and trimap, sides multiples of 32. `detail` is linear.
    """

    official = _names()
    backbones = {"layers": ("mobilenetv2_100", _timm_names())}

    def __init__(self, width=1.0):
        super().__init__()
        inputs = scaled(32, width)
        stages, channels = [nn.Sequential(*_conv(4, inputs, 3))], [inputs]
        for expansion, outputs, blocks in STAGES:
            outputs = scaled(outputs, width)
            pairs = [(inputs, outputs)] + [(outputs, outputs)] * (blocks - 1)
            stages.append(nn.Sequential(*(InvertedResidual(i, o, expansion) for i, o in pairs)))
            inputs = outputs
            channels.append(outputs)
        self.layers = nn.ModuleList(stages)
        self.index = nn.ModuleDict({str(i): IndexBlock(channels[i]) for i in POOLED})
        self.aspp = ASPP(channels[7], scaled(256, width), channels[6])
        # A decoder's output has the channels of the next skip, whose index weights it.
        self.decoder = nn.ModuleList(nn.Sequential(*_conv(2 * channels[i], channels[max(i - 1, 0)], 5)) for i in range(7))
        self.pred = nn.Sequential(*_conv(channels[0], 1, 5), nn.Conv2d(1, 1, 5, padding=2, bias=False))
        initialise(self)

    def forward(self, x):
        """(N, 4, H, W) -> MattingOutput."""
        self.check(x)
        y, skips, weights = x, [], {}
        for i, layer in enumerate(self.layers):
            y = layer(y)
            if i in POOLED:
                pool, weights[i] = self.index[str(i)](y)
                y = pool * y
            skips.append(y)
            if i in POOLED:
                y = 4 * F.avg_pool2d(y, 2)
        y = self.aspp(y)
        for i in reversed(range(7)):
            if i in POOLED:
                y = weights[i] * F.interpolate(y, scale_factor=2, mode="nearest")
            y = self.decoder[i](torch.cat([y, skips[i]], dim=1))
        return self.pasted(self.pred(y), x[:, 3:])

    def stages(self):
        """One stage with the losses of DIM."""
        return (Stage("train", dim_loss),)


def indexnet(width=1.0):
    """IndexNet Matting; see `IndexNet`."""
    return IndexNet(width)
