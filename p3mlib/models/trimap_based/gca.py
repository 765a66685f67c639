"""GCA matting (Li and Lu, AAAI 2020): alpha features flow between patches that look alike."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from p3mlib.losses import full_precision, transition_mask
from p3mlib.models.network import Stage, TrimapNetwork, with_trimap
from p3mlib.models.resnet import scaled
from p3mlib.models.trimap_based.dim import unknown_mean

ENCODER, DECODER = (3, 4, 4, 2), (2, 3, 3, 2)  # blocks


def _conv(inputs, outputs, side=3, stride=1, padding=None):
    convolution = nn.Conv2d(inputs, outputs, side, stride, side // 2 if padding is None else padding, bias=False)
    return spectral_norm(convolution, dim=0)


def _grow(channels):
    return spectral_norm(nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False), dim=0)


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut; `scale` 2 halves the size first, 0.5 doubles it.

    Args:
        slope: of the leaky ReLU for negative values.
    """

    def __init__(self, inputs, outputs, scale=1, slope=0.0):
        super().__init__()
        middle, self.slope = (inputs, slope) if scale < 1 else (outputs, slope)
        self.conv1 = _grow(inputs) if scale < 1 else _conv(inputs, outputs, stride=scale)
        self.bn1, self.conv2, self.bn2 = nn.BatchNorm2d(middle), _conv(middle, outputs), nn.BatchNorm2d(outputs)
        self.shortcut = {2: "downsample", 0.5: "upsample"}.get(scale)
        if self.shortcut:
            change = nn.AvgPool2d(2) if scale > 1 else nn.Upsample(scale_factor=2)
            self.add_module(self.shortcut, nn.Sequential(change, _conv(inputs, outputs, 1), nn.BatchNorm2d(outputs)))

    def forward(self, x):
        """(N, inputs, H, W) -> (N, outputs, H / scale, W / scale)."""
        y = self.bn2(self.conv2(F.leaky_relu(self.bn1(self.conv1(x)), self.slope)))
        return F.leaky_relu(y + (self.get_submodule(self.shortcut)(x) if self.shortcut else x), self.slope)


class GuidedAttention(nn.Module):
    """Guided contextual attention: patches of the alpha feature are mixed by how alike the picture's features are around them.

    Args:
        channels: of both features.
    """

    def __init__(self, channels):
        super().__init__()
        self.guidance_conv = nn.Conv2d(channels, channels // 2, 1)
        self.W = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        nn.init.constant_(self.W[1].weight, 1e-3)

    def forward(self, guidance, alpha, unknown):
        """Features (N, C, h, w) of the picture and of alpha, mask (N, 1, H, W) of unknown pixels -> (N, C, h, w)."""
        size = alpha.shape[2:]
        small = F.interpolate(self.guidance_conv(guidance), scale_factor=0.5, mode="nearest")
        patches = F.unfold(F.pad(small, (1, 1, 1, 1), mode="reflect"), 3)
        keys = patches / patches.norm(dim=1, keepdim=True).clamp(min=1e-4)
        mask = F.interpolate(unknown, small.shape[2:], mode="nearest")
        touched = (F.unfold(F.pad(mask, (1, 1, 1, 1), mode="reflect"), 3).mean(1) > 0)[:, None]
        share = mask.mean((1, 2, 3)).view(-1, 1, 1)
        ratio = (share / (1 - share).clamp(min=1e-12)).sqrt()
        scale = torch.where(touched, ratio.clamp(0.1, 10), (1 / ratio.clamp(min=1e-12)).clamp(0.1, 10))
        alike = patches.transpose(1, 2) @ keys * scale
        alike = alike - 1e4 * torch.diag_embed(touched[:, 0].to(alike.dtype))
        # Weights below 1e-13 would become denormal numbers, with which a CPU is fifty times slower.
        alike = (alike - alike.amax(-1, keepdim=True)).clamp(min=-30)
        values = F.unfold(F.pad(alpha, (1, 1, 1, 1), mode="reflect"), 4, stride=2)
        mixed = values @ alike.softmax(-1).transpose(1, 2)
        return alpha + self.W(F.fold(mixed, size, 4, padding=1, stride=2) / 4)


class Encoder(nn.Module):
    """ResNet with guidance: six-channel input (N, 6, H, W) -> deepest map, five shortcuts, features of the picture."""

    def __init__(self, width):
        super().__init__()
        c = [scaled(n, width) for n in (32, 64, 128, 256, 512)]
        self.conv1, self.conv2, self.conv3 = _conv(6, c[0], stride=2), _conv(c[0], c[0]), _conv(c[0], c[1], stride=2)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(c[0]), nn.BatchNorm2d(c[0]), nn.BatchNorm2d(c[1])
        names = ("layer1", "layer2", "layer3", "layer_bottleneck")
        for name, blocks, inputs, outputs in zip(names, ENCODER, (c[1], *c[1:4]), c[1:], strict=True):
            first = Block(inputs, outputs, 1 if inputs == outputs else 2)
            self.add_module(name, nn.Sequential(first, *(Block(outputs, outputs) for _ in range(blocks - 1))))
        pairs = ((6, c[0]), *((n, n) for n in c[:4]))
        self.shortcut = nn.ModuleList(
            nn.Sequential(_conv(i, o), nn.ReLU(), nn.BatchNorm2d(o), _conv(o, o), nn.ReLU(), nn.BatchNorm2d(o)) for i, o in pairs
        )
        g = [3, scaled(16, width), c[0], c[2]]
        self.guidance_head = nn.Sequential()
        for inputs, outputs in pairwise(g):
            layers = (nn.ReflectionPad2d(1), _conv(inputs, outputs, stride=2, padding=0), nn.ReLU(), nn.BatchNorm2d(outputs))
            self.guidance_head.extend(layers)
        self.gca = GuidedAttention(c[2])

    def forward(self, x, unknown):
        """(N, 6, H, W) and the mask (N, 1, H, W)."""
        guidance = self.guidance_head(x[:, :3])
        half = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        maps = [x, half, self.layer1(F.relu(self.bn3(self.conv3(half))))]
        maps.append(self.gca(guidance, self.layer2(maps[-1]), unknown))
        maps.append(self.layer3(maps[-1]))
        return self.layer_bottleneck(maps[-1]), [s(y) for s, y in zip(self.shortcut, maps, strict=True)], guidance


class Decoder(nn.Module):
    """Deepest map and shortcuts -> (N, 1, H, W), linear."""

    def __init__(self, width):
        super().__init__()
        c = [scaled(n, width) for n in (512, 256, 128, 64, 32)]
        for i, blocks in enumerate(DECODER):
            first = Block(c[i], c[i + 1], 0.5, slope=0.2)
            rest = (Block(c[i + 1], c[i + 1], slope=0.2) for _ in range(blocks - 1))
            self.add_module(f"layer{i + 1}", nn.Sequential(first, *rest))
        self.gca = GuidedAttention(c[2])
        self.conv1, self.bn1, self.conv2 = _grow(c[4]), nn.BatchNorm2d(c[4]), nn.Conv2d(c[4], 1, 3, padding=1)

    def forward(self, x, shortcuts, guidance, unknown):
        """See the class; shortcuts are shallow to deep."""
        x = self.layer2(self.layer1(x) + shortcuts[4]) + shortcuts[3]
        x = self.layer3(self.gca(guidance, x, unknown)) + shortcuts[2]
        x = self.layer4(x) + shortcuts[1]
        return self.conv2(F.leaky_relu(self.bn1(self.conv1(x)), 0.2) + shortcuts[0])


class GCA(TrimapNetwork):
    """Guided contextual attention matting. Memory grows with the square of the picture's area.

    Args:
        width: multiplies every channel count.
    Shape:
        (N, 4, H, W), ImageNet-normalised image and trimap, sides multiples of 32. `detail` lies in [0, 1].
    """

    official = (
        (r"(.+)\.module\.weight_bar$", r"\1.parametrizations.weight.original"),
        (r"(.+)\.module\.weight_([uv])$", r"\1.parametrizations.weight.0._\2"),
    )

    def __init__(self, width=1.0):
        super().__init__()
        self.encoder, self.decoder = Encoder(width), Decoder(width)

    def forward(self, x):
        """(N, 4, H, W) -> MattingOutput."""
        self.check(x)
        trimap = x[:, 3:]
        known = torch.cat([trimap < 0.25, trimap > 0.75], dim=1).to(x.dtype)
        unknown = 1 - known.sum(1, keepdim=True)
        maps = self.encoder(torch.cat([x[:, :3], known[:, :1], unknown, known[:, 1:]], dim=1), unknown)
        return self.pasted((self.decoder(*maps, unknown).tanh() + 1) / 2, trimap)

    def stages(self):
        """One stage."""
        return (Stage("train", gca_loss),)


@full_precision
def _absolute(pred, target):
    return (pred - target).abs()


def gca_loss(network, image, batch):
    """Absolute error in the unknown area."""
    alpha = network(with_trimap(image, batch)).detail
    loss = unknown_mean(_absolute(alpha, batch["alpha"]), transition_mask(batch["trimap"]))
    return {"alpha": loss, "total": loss}


def gca(width=1.0):
    """GCA matting; see `GCA`."""
    return GCA(width)
