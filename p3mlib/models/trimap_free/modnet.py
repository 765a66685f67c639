"""MODNet (Ke et al., AAAI 2022) as released: semantic, detail and fusion branches on MobileNetV2."""

import copy
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from torch import nn

from p3mlib.losses import full_precision
from p3mlib.models.blocks import upsample
from p3mlib.models.network import MattingNetwork, MattingOutput, Stage
from p3mlib.models.resnet import scaled

# MobileNetV2: expansion, channels, blocks, stride of every stage
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM, TOP = 32, 1280
TAPS = (0, 1)  # stages whose maps the other branches see, at 1/2 and 1/4


class MobileNetV2(nn.Module):
    """MobileNetV2 with timm's names: (N, 3, H, W) -> maps at 1/2, 1/4 and 1/32."""

    paste_at = ("conv_stem", "blocks.1", "blocks.2", "blocks.4", "blocks.6")

    def __init__(self, width):
        super().__init__()
        inputs = scaled(STEM, width)
        self.conv_stem, self.bn1 = nn.Conv2d(3, inputs, 3, 2, 1, bias=False), nn.BatchNorm2d(inputs)
        self.blocks = nn.ModuleList()
        for expansion, channels, count, stride in STAGES:
            outputs, stage = scaled(channels, width), nn.Sequential()
            for i in range(count):
                block = DepthwiseSeparableConv if expansion == 1 else partial(InvertedResidual, exp_ratio=expansion)
                stage.append(block(inputs, outputs, stride=stride if i == 0 else 1, act_layer=nn.ReLU6))
                inputs = outputs
            self.blocks.append(stage)
        self.channels = tuple(scaled(STAGES[i][1], width) for i in (*TAPS, 2, 4)) + (scaled(TOP, width),)
        self.conv_head, self.bn2 = nn.Conv2d(inputs, self.channels[-1], 1, bias=False), nn.BatchNorm2d(self.channels[-1])

    def forward(self, image):
        """(N, 3, H, W) -> three maps, shallow to deep."""
        x, maps = F.relu6(self.bn1(self.conv_stem(image))), []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in TAPS:
                maps.append(x)
        return (*maps, F.relu6(self.bn2(self.conv_head(x))))


class IBNorm(nn.Module):
    """Batch norm of the first half of the channels, instance norm without weights of the second."""

    def __init__(self, channels):
        super().__init__()
        self.split = channels // 2
        self.batch, self.instance = nn.BatchNorm2d(self.split), nn.InstanceNorm2d(channels - self.split)

    def forward(self, x):
        """(N, C, h, w) -> (N, C, h, w)."""
        return torch.cat([self.batch(x[:, : self.split]), self.instance(x[:, self.split :].contiguous())], dim=1)

    def folded(self, convolution):
        """(convolution, norm) that give together what `convolution` and this norm do in evaluation, with one pass less."""
        rest = convolution.out_channels - self.split
        scale = self.batch.weight / (self.batch.running_var + self.batch.eps).sqrt()
        scale, shift = torch.cat([scale, scale.new_ones(rest)]), self.batch.bias - self.batch.running_mean * scale
        folded = copy.deepcopy(convolution)
        folded.weight.data *= scale[:, None, None, None]
        folded.bias.data = folded.bias.data * scale + torch.cat([shift, shift.new_zeros(rest)])
        return folded, InstanceHalf(self.split, self.instance.eps)


class InstanceHalf(nn.Module):
    """Instance norm without weights of the channels from `split` on, in place: what is left of an `IBNorm` that was folded."""

    def __init__(self, split, eps):
        super().__init__()
        self.split, self.eps = split, eps

    def forward(self, x):
        """(N, C, h, w), which is changed."""
        part = x[:, self.split :]
        var, mean = torch.var_mean(part, (2, 3), correction=0, keepdim=True)
        scale = (var + self.eps).rsqrt()
        torch.addcmul(-mean * scale, part, scale, out=part)
        return x


def _cir(inputs, outputs, kernel, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), IBNorm(outputs), nn.ReLU(inplace=True))


class SemanticBranch(nn.Module):
    """Map at 1/32 -> features at 1/8, probability of the person at 1/16."""

    def __init__(self, channels):
        super().__init__()
        _, _, eighth, sixteenth, deep = channels
        few = max(1, deep // 4)
        self.excite = nn.Sequential(nn.Linear(deep, few, bias=False), nn.ReLU(), nn.Linear(few, deep, bias=False), nn.Sigmoid())
        self.sixteenth, self.eighth = _cir(deep, sixteenth, 5), _cir(sixteenth, eighth, 5)
        self.head = nn.Conv2d(eighth, 1, 3, 2, 1)

    def forward(self, deep):
        """(N, C, H/32, W/32) -> (N, c, H/8, W/8) and (N, 1, H/16, W/16) in [0, 1]."""
        deep = deep * self.excite(deep.mean((2, 3)))[:, :, None, None]
        eighth = self.eighth(upsample(self.sixteenth(upsample(deep, 2)), 2))
        return eighth, torch.sigmoid(self.head(eighth))


class DetailBranch(nn.Module):
    """Image, shallow maps and the semantic features -> features at 1/2, alpha of the border."""

    def __init__(self, channels, hidden):
        super().__init__()
        half, quarter, eighth = channels[:3]
        self.to_half, self.to_quarter = _cir(half, hidden, 1), _cir(quarter, hidden, 1)
        self.down, self.mix = _cir(hidden + 3, hidden, 3, 2), _cir(2 * hidden, 2 * hidden, 3)
        widths = (2 * hidden + eighth + 3, 2 * hidden, 2 * hidden, hidden)
        self.at_quarter = nn.Sequential(*(_cir(i, o, 3) for i, o in pairwise(widths)))
        widths = (2 * hidden, 2 * hidden, hidden, hidden, hidden)
        self.at_half = nn.Sequential(*(_cir(i, o, 3) for i, o in pairwise(widths)))
        self.last, self.head = _cir(hidden + 3, hidden, 3), nn.Conv2d(hidden, 1, 1)

    def forward(self, image, half, quarter, eighth):
        """-> (N, c, H/2, W/2) and (N, 1, H, W) in [0, 1]."""
        image2, image4 = (F.interpolate(image, scale_factor=1 / f, mode="bilinear", align_corners=False) for f in (2, 4))
        half = self.to_half(half)
        x = self.down(torch.cat([image2, half], dim=1))
        x = self.mix(torch.cat([x, self.to_quarter(quarter)], dim=1))
        x = self.at_quarter(torch.cat([x, upsample(eighth, 2), image4], dim=1))
        x = self.at_half(torch.cat([upsample(x, 2), half], dim=1))
        detail = self.head(self.last(torch.cat([upsample(x, 2), image], dim=1)))
        return x, torch.sigmoid(detail)


class FusionBranch(nn.Module):
    """Semantic and detail features -> alpha."""

    def __init__(self, channels, hidden):
        super().__init__()
        eighth = channels[2]
        self.at_quarter, self.at_half = _cir(eighth, hidden, 5), _cir(2 * hidden, hidden, 3)
        self.last, self.head = _cir(hidden + 3, hidden // 2, 3), nn.Conv2d(hidden // 2, 1, 1)

    def forward(self, image, eighth, half):
        """-> (N, 1, H, W) in [0, 1]."""
        x = upsample(self.at_quarter(upsample(eighth, 2)), 2)
        x = self.at_half(torch.cat([x, half], dim=1))
        return torch.sigmoid(self.head(self.last(torch.cat([upsample(x, 2), image], dim=1))))


def _official_names():
    """Of the released checkpoint, in which the backbone appears twice."""
    features = r"(?:lr_branch\.)?backbone\.model\.features\."
    names = [(features + r"0\.0\.", "encoder.conv_stem."), (features + r"0\.1\.", "encoder.bn1.")]
    names += [(features + r"18\.0\.", "encoder.conv_head."), (features + r"18\.1\.", "encoder.bn2.")]
    index = 1
    for stage, (expansion, _, count, _) in enumerate(STAGES):
        parts = (
            ("conv_dw", "bn1", "conv_pw", "bn2") if expansion == 1 else ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
        )
        for block in range(count):
            for number, part in zip((0, 1, 3, 4, 6, 7), parts, strict=False):
                names.append((rf"{features}{index}\.conv\.{number}\.", f"encoder.blocks.{stage}.{block}.{part}."))
            index += 1
    modules = {
        "semantic": {"conv_lr16x": "sixteenth", "conv_lr8x": "eighth"},
        "detail": {
            **{"tohr_enc2x": "to_half", "tohr_enc4x": "to_quarter", "conv_enc2x": "down", "conv_enc4x": "mix"},
            **{r"conv_hr4x\.(\d)": r"at_quarter.\1", r"conv_hr2x\.(\d)": r"at_half.\1", r"conv_hr\.0": "last"},
        },
        "fusion": {"conv_lr4x": "at_quarter", "conv_f2x": "at_half", r"conv_f\.0": "last"},
    }
    for (ours, parts), theirs in zip(modules.items(), ("lr_branch", "hr_branch", "f_branch"), strict=True):
        for their, our in parts.items():
            number = r"\2" if "(" in their else r"\1"
            names.append((rf"{theirs}\.{their}\.layers\.(0)\.", f"{ours}.{our}.{number}."))
            names.append((rf"{theirs}\.{their}\.layers\.(1)\.bnorm\.", f"{ours}.{our}.{number}.batch."))
    heads = {r"lr_branch\.conv_lr": "semantic", r"hr_branch\.conv_hr\.1": "detail", r"f_branch\.conv_f\.1": "fusion"}
    names += [(rf"{their}\.layers\.0\.", f"{our}.head.") for their, our in heads.items()]
    return (*names, (r"lr_branch\.se_block\.fc\.", "semantic.excite."))


class MODNet(MattingNetwork):
    """MODNet in the released version, whose semantic branch begins with squeeze and excitation (the paper has e-ASPP).

    `segmentation` is the semantic branch's probability of the person, (N, 1, H/16, W/16); there is no transition class.

    Args:
        width: multiplies every channel count.
    Shape:
        image (N, 3, H, W) in [-1, 1], sides multiples of 32.
    """

    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    resizing = "area"
    official = _official_names()
    backbones = {"encoder": ("mobilenetv2_100", ((r"classifier\.", None),))}

    def __init__(self, width=1.0):
        super().__init__()
        self.encoder = MobileNetV2(width)
        hidden = scaled(32, width)
        self.semantic = SemanticBranch(self.encoder.channels)
        self.detail = DetailBranch(self.encoder.channels, hidden)
        self.fusion = FusionBranch(self.encoder.channels, hidden)
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d) and not name.startswith("encoder"):
                nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, image):
        """(N, 3, H, W) -> MattingOutput."""
        self.check(image)
        half, quarter, deep = self.encoder(image)
        eighth, semantic = self.semantic(deep)
        features, detail = self.detail(image, half, quarter, eighth)
        return MattingOutput(semantic, detail, self.fusion(image, eighth, features), ())

    def input_size(self, height, width, side):
        """An image that is smaller than `side` altogether, or larger altogether, gets it as shorter side; multiples of 32."""
        scale = side / min(height, width) if max(height, width) < side or min(height, width) > side else 1
        return tuple(max(32, int(scale * s) // 32 * 32) for s in (height, width))

    def stages(self):
        """One stage; the three objectives together."""
        return (Stage("train", modnet_loss),)


def coarse_matte(alpha):
    """What the semantic branch should say: alpha at 1/16, blurred by a 3x3 Gaussian of sigma 0.8, borders mirrored.

    Args:
        alpha: (N, 1, H, W), sides multiples of 32.
    Returns:
        (N, 1, H/16, W/16).
    """
    small = F.interpolate(alpha, scale_factor=1 / 16, mode="bilinear", align_corners=False)
    taps = torch.exp(-torch.arange(-1, 2, device=alpha.device, dtype=alpha.dtype).square() / (2 * 0.8**2))
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    return F.conv2d(F.pad(small, (1, 1, 1, 1), mode="reflect"), kernel[None, None])


@full_precision
def objectives(semantic, detail, alpha_pred, image, alpha, trimap):
    """The three objectives of MODNet, scaled 10, 10 and 1.

    Args:
        semantic: (N, 1, H/16, W/16). detail, alpha_pred, alpha: (N, 1, H, W) in [0, 1].
        image: (N, 3, H, W), normalised. trimap: (N, 1, H, W) of 0, 0.5, 1.
    Returns:
        dict of scalar tensors: semantic, detail, matte and their weighted sum `total`.
    """
    unknown = (trimap > 0) & (trimap < 1)
    pasted = torch.where(unknown, alpha_pred, trimap)
    matte = sum(
        weight * (F.l1_loss(pred, alpha) + F.l1_loss(image * pred, image * alpha))
        for weight, pred in ((1, alpha_pred), (4, pasted))
    )
    terms = {
        "semantic": F.mse_loss(semantic, coarse_matte(alpha)),
        "detail": ((detail - alpha).abs() * unknown).mean(),
        "matte": matte,
    }
    return {**terms, "total": 10 * terms["semantic"] + 10 * terms["detail"] + terms["matte"]}


def modnet_loss(network, image, batch):
    """`objectives` of a batch."""
    output = network(image)
    return objectives(output.segmentation, output.detail, output.alpha, image, batch["alpha"], batch["trimap"])


def modnet(width=1.0):
    """MODNet; see `MODNet`."""
    return MODNet(width)
