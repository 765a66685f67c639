"""LF: an encoder, a decoder each for foreground and background, and a network that fuses what they say (Zhang et al., CVPR 2019).

The paper compares with the authors' code. Layout and losses are those of its public derivative in Keras; the layout gives
the 37.91 M parameters of Table 11.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from timm.models.densenet import DenseNet
from torch import nn

from p3mlib.models.network import MattingNetwork, MattingOutput, Stage
from p3mlib.models.resnet import scaled
from p3mlib.models.trimap_free.lf_losses import BRANCHES, fusion_stage, joint_stage, segmentation_stage

BLOCKS = (6, 12, 48, 32)
BRANCH_CHANNELS = 128
FUSION_CHANNELS = (256, 128, 128, 64, 256)
DENSENET_EPS, FUSION_EPS = 1.001e-5, 1e-3


class DenseEncoder(nn.Module):
    """timm's DenseNet without classifier; the last batch norm has no ReLU here.

    Args:
        growth: channels that every layer adds; 32 is DenseNet-201. blocks: layers of each of the four blocks.
    """

    def __init__(self, growth, blocks):
        super().__init__()
        features = DenseNet(growth, blocks, num_classes=0).features
        self.deep_channels = features.norm5.num_features
        features.norm5 = nn.BatchNorm2d(self.deep_channels)
        for name, module in features.named_children():
            self.add_module(name, module)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = DENSENET_EPS
        before_skips = (self.norm0, self.transition1.norm, self.transition2.norm, self.transition3.norm)
        self.skip_channels = tuple(norm.num_features for norm in before_skips)

    def forward(self, image):
        """(N, 3, H, W) -> four maps at 1/2 (stem), 1/4, 1/8, 1/16 (blocks before their transition), and the last at 1/32."""
        x, skips = image, []
        for name, module in self.named_children():
            x = module(x)
            if name in ("norm0", "denseblock1", "denseblock2", "denseblock3"):
                skips.append(x)
        return skips, x


def _double(x):
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _block(inputs, outputs, kernel, eps, bias):
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs, eps), nn.ReLU(inplace=True))


class Branch(nn.Module):
    """Decoder of one class: a trunk of 1x1 convolutions up to full resolution, and a feature pyramid on it.

    Args:
        skips: channels of the encoder's maps, from 1/2 to 1/16. deep: at 1/32. channels: of the pyramid.
    """

    def __init__(self, skips, deep, channels):
        super().__init__()
        outputs = [max(skip, channels) for skip in reversed(skips)]
        outputs.append(outputs[-1])
        below = zip([deep, *outputs[:-1]], [*reversed(skips), 0], strict=True)
        pairs = zip(map(sum, below), outputs, strict=True)
        self.trunk = nn.ModuleList(_block(i, o, 1, DENSENET_EPS, bias=False) for i, o in pairs)
        self.top = nn.Conv2d(outputs[0], channels, 1)
        self.lateral = nn.ModuleList(nn.Identity() if c == channels else nn.Conv2d(c, channels, 1) for c in outputs[1:])
        self.merge = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in outputs[1:])
        self.head = nn.ModuleList(nn.Conv2d(channels, 1, 1) for _ in outputs[1:])

    def forward(self, skips, deep):
        """The encoder's maps -> logits (N, 1, h, w) at 1/8, 1/4, 1/2, 1/1, and the pyramid's map (N, C, H, W)."""
        x, maps = deep, []
        for block, skip in zip(self.trunk, (*reversed(skips), None), strict=True):
            x = _double(x)
            x = block(x if skip is None else torch.cat((x, skip), dim=1))
            maps.append(x)
        below, logits = F.relu(self.top(maps[0])), []
        for level, lateral, merge, head in zip(maps[1:], self.lateral, self.merge, self.head, strict=True):
            below = merge(lateral(level) + _double(below))
            logits.append(head(below))
        return tuple(logits), below


class Fusion(nn.Module):
    """How far to believe the foreground branch, from both branches' maps and the image.

    Args:
        channels: of a branch's map, and of what is made of the image. width: multiplies the others.
    """

    def __init__(self, channels, width):
        super().__init__()
        self.colour = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels, FUSION_EPS))
        widths = [3 * channels, *(scaled(c, width) for c in FUSION_CHANNELS)]
        blocks = [_block(i, o, 3, FUSION_EPS, bias=True) for i, o in pairwise(widths)]
        self.blend = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 1))

    def forward(self, image, foreground, background):
        """(N, 3, H, W) and two (N, C, H, W) -> logit (N, 1, H, W) of the weight."""
        return self.blend(torch.cat((foreground, background, self.colour(image)), dim=1))


class LF(MattingNetwork):
    """Late fusion.

    Foreground and background branch say F and B, how far a pixel belongs to their class; both are 1 where it is mixed. The
    weight w of the fusion gives alpha = w F + (1 - w) (1 - B). Probabilities and all that follows are float32.

    Args:
        width:  multiplies every channel count; 1 is the authors' network.
        blocks: layers of each block of the encoder; the default is DenseNet-201.
    Shape:
        image (N, 3, H, W), normalised with `mean` and `std`, H and W multiples of 32 -> MattingOutput:
        segmentation: logits of background B (1 - F), transition F B + (1 - F) (1 - B), foreground F (1 - B), the probabilities
                      if the branches were independent; no loss looks at them. detail: w.
        sides:        F at 1/8, 1/4, 1/2, 1/1, then B, each (N, 1, h, w) in [0, 1].
    Raises:
        ValueError: H or W is not a multiple of 32, or `blocks` are not four positive numbers.
    Source:
        Zhang et al. 2019; weights begin as Keras begins them, the encoder's as timm does. The authors' weights are Keras
        files, which are not read here. Input: 0..255 less the mean, resized with anti-aliasing as in the public derivative.
    """

    mean = tuple(value / 255 for value in (127.156207, 115.917443, 106.031127))
    std = (1 / 255, 1 / 255, 1 / 255)
    resizing = "modern"
    # Names of timm, and those of torchvision's first release.
    backbones = {
        "encoder": (
            "densenet201",
            [
                (r"features\.(denseblock\d\.denselayer\d+\.(?:norm|conv))\.", r"\1"),
                (r"features\.", ""),
                (r"classifier\.", None),
            ],
        )
    }

    def __init__(self, width=1.0, blocks=BLOCKS):
        super().__init__()
        blocks = tuple(blocks)
        if len(blocks) != 4 or min(blocks) < 1:
            raise ValueError(f"blocks {blocks}: expected four positive numbers of layers, such as {BLOCKS}")
        channels = scaled(BRANCH_CHANNELS, width)
        self.encoder = DenseEncoder(max(2, round(32 * width)), blocks)
        skips, deep = self.encoder.skip_channels, self.encoder.deep_channels
        self.foreground = Branch(skips, deep, channels)
        self.background = Branch(skips, deep, channels)
        self.fusion = Fusion(channels, width)
        for part in (self.foreground, self.background, self.fusion):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.xavier_uniform_(module.weight)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)

    def branches(self, image):
        """Normalised (N, 3, H, W) -> what `Branch` gives for the foreground, and for the background."""
        self.check(image)
        skips, deep = self.encoder(image)
        return self.foreground(skips, deep), self.background(skips, deep)

    def forward(self, image):
        """Normalised (N, 3, H, W) -> MattingOutput."""
        (foreground, foreground_map), (background, background_map) = self.branches(image)
        weight = self.fusion(image, foreground_map, background_map).float().sigmoid()
        sides = tuple(logits.float().sigmoid() for logits in (*foreground, *background))
        f, b = foreground[-1].float(), background[-1].float()
        segmentation = torch.cat((b, F.softplus(f + b), f), dim=1)  # less their common part, the logarithm of (1 - F) (1 - B)
        return MattingOutput(segmentation, weight, torch.lerp(1 - sides[7], sides[3], weight), sides)

    def stages(self):
        """Encoder and branches; the fusion alone; all. The later two learn at a third of the first's rate."""
        return (
            Stage("segmentation", segmentation_stage, share=3, learns=BRANCHES),
            Stage("fusion", fusion_stage, learns=("fusion",), lr=1 / 3),
            Stage("joint", joint_stage, lr=1 / 3),
        )

    def input_size(self, height, width, side):
        """A square of the training images' side, to the nearest multiple of 32, whatever the shape of the image."""
        side = max(self.multiple, self.multiple * round(side / self.multiple))
        return side, side

    @property
    def uncounted_parameters(self):
        """Running statistics of the batch norms: the paper's count is the total of Keras, which has them among the weights."""
        buffers = self.named_buffers()
        return sum(values.numel() for name, values in buffers if name.endswith(("running_mean", "running_var")))


def lf(width=1.0, blocks=BLOCKS):
    """LF; arguments as for the class."""
    return LF(width, blocks)
