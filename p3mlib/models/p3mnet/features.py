"""What every P3M-Net encoder gives its decoders, and the frame of the two encoders that work on tokens."""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn


class Features(NamedTuple):
    """Maps of an input of (N, 3, H, W), shallow to deep.

    full:    E0, (N, C0, H, W).
    skips:   four maps at 1/2, 1/4, 1/8, 1/16.
    deep:    X at 1/32.
    indices: five int64 index maps of the poolings that made 1/2, 1/4, 1/8, 1/16, 1/32.
    """

    full: Tensor
    skips: tuple
    deep: Tensor
    indices: tuple


def pool(x):
    """2x2 max-pooling that keeps its indices."""
    return F.max_pool2d(x, 2, return_indices=True)


def _to_maps(tokens):
    """(N, h, w, C) -> (N, C, h, w), without a copy."""
    return tokens.permute(0, 3, 1, 2)


def _to_tokens(maps):
    """(N, C, h, w) -> (N, h, w, C), without a copy."""
    return maps.permute(0, 2, 3, 1)


def narrowed(heads, width, channels):
    """Attention heads of a narrowed network: the share `width` of them, as far as it divides the channels; at least one."""
    return max(n for n in range(1, max(1, round(heads * width)) + 1) if channels % n == 0)


class Stem(nn.Module):
    """Image to tokens at 1/4 by three 3x3 convolutions and two poolings; no batch norm.

    Args:
        full: channels of E0. last: activation after the third convolution.
    """

    def __init__(self, full, last):
        super().__init__()
        self.conv1 = nn.Conv2d(3, full, 3, padding=1)
        self.conv2 = nn.Conv2d(full, 2 * full, 3, padding=1)
        self.conv3 = nn.Conv2d(2 * full, 2 * full, 3, padding=1)
        self.last = last
        self.norm = nn.LayerNorm(2 * full)

    def forward(self, image):
        """(N, 3, H, W) -> E0, skip at 1/2, tokens (N, H/4, W/4, C), two index maps."""
        full = F.relu(self.conv1(image))
        x, index0 = pool(full)
        half = F.relu(self.conv2(x))
        x, index1 = pool(half)
        tokens = self.norm(_to_tokens(self.last(self.conv3(x))))
        return full, half, tokens, (index0, index1)


class Merging(nn.Module):
    """Between two stages: norm (the result is the skip), 2x2 max-pooling, linear layer to twice the channels."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, 2 * channels, bias=False)

    def forward(self, tokens):
        """(N, h, w, C) -> skip (N, C, h, w), index map, tokens (N, h/2, w/2, 2C)."""
        skip = _to_maps(self.norm(tokens))
        pooled, index = pool(skip)
        return skip, index, self.linear(_to_tokens(pooled))


class TokenEncoder(nn.Module):
    """Stem, four stages of blocks on tokens (N, h, w, C), a `Merging` after each of the first three.

    Args:
        stem: `Stem`. stages: four modules. channels: of the first stage. norm: of the last stage's tokens.
        uncounted: parameters of the official module that nothing uses, yet the paper counts.
    """

    changes_channels, overlapping = "first", False
    paste_at = ("stem.conv1", "stages.0", "stages.1", "stages.2", "stages.3")

    def __init__(self, stem, stages, channels, norm, uncounted=0):
        super().__init__()
        self.stem, self.stages, self.norm = stem, nn.ModuleList(stages), norm
        self.merges = nn.ModuleList(Merging(channels * 2**i) for i in range(3))
        self.full_channels, self.deep_channels = channels // 2, 8 * channels
        self.skip_channels = (channels, channels, 2 * channels, 4 * channels)
        self.uncounted_parameters = uncounted
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image):
        """(N, 3, H, W) normalised image, sides multiples of 32 -> Features."""
        full, half, tokens, indices = self.stem(image)
        skips = [half]
        for stage, merge in zip(self.stages[:3], self.merges, strict=True):
            skip, index, tokens = merge(stage(tokens))
            skips.append(skip)
            indices += (index,)
        return Features(full, tuple(skips), _to_maps(self.norm(self.stages[3](tokens))), indices)
