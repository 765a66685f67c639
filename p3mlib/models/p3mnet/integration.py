"""The three integration modules of P3M-Net (Sec. 4.1, Eqs. 1-3) and their pass-throughs for the ablation.

A pass-through takes the same arguments and hands the main path on, so the network is wired once and never asks which
modules it has.
"""

import torch
import torch.nn.functional as F
from torch import nn

from p3mlib.models.blocks import upsample


def _merge(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _project(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 1, bias=False)


class TFI(nn.Module):
    """Tripartite-feature integration (Eq. 1): matting, semantic and encoder features of one level become one map.

    The official code, followed here, shares one projection between the three inputs; the paper's text is ambiguous.

    Args:
        channels: C of all three inputs and of the output.
    """

    def __init__(self, channels):
        super().__init__()
        self.project = _project(channels, channels // 2)
        self.merge = _merge(3 * (channels // 2), channels)

    def forward(self, semantic, matting, encoder):
        """Three (N, C, h, w) maps -> (N, C, h, w)."""
        return self.merge(torch.cat([self.project(x) for x in (semantic, matting, encoder)], dim=1))


class NoTFI(nn.Module):
    """TFI switched off: the matting features alone go on."""

    def forward(self, semantic, matting, encoder):
        """Returns `matting`."""
        return matting


class SBFI(nn.Module):
    """Shallow bipartite-feature integration (Eq. 2): texture of E0 joins the matting decoder, with a residual.

    E0 is pooled with kernel 2 and stride `ratio` as in the official code, so for ratios above 2 one 2x2 corner of each
    cell is seen; the paper's text says pooling "with a ratio r".

    Args:
        channels: C of the matting features. full_channels: of E0. ratio: H / h.
    """

    def __init__(self, channels, full_channels, ratio):
        super().__init__()
        self.ratio = ratio
        self.project_matting = _project(channels, channels // 2)
        self.project_full = _project(full_channels, channels // 2)
        self.merge = _merge(2 * (channels // 2), channels)

    def forward(self, matting, full):
        """(N, C, h, w) and E0 (N, C0, H, W) -> (N, C, h, w)."""
        full = F.max_pool2d(full, 2, stride=self.ratio)
        return matting + self.merge(torch.cat([self.project_matting(matting), self.project_full(full)], dim=1))


class NoSBFI(nn.Module):
    """sBFI switched off."""

    def forward(self, matting, full):
        """Returns `matting`."""
        return matting


class SideHead(nn.Conv2d):
    """3x3 convolution to three logits, upsampled to full resolution.

    Args:
        channels: of the input. factor: of the upsampling.
    """

    def __init__(self, channels, factor):
        super().__init__(channels, 3, 3, padding=1, bias=False)
        self.factor = factor

    def forward(self, x):
        """(N, C, h, w) -> 1-tuple of (N, 3, factor h, factor w)."""
        return (upsample(super().forward(x), self.factor),)


class NoSideHead(nn.Module):
    """Side output left out, as for inference."""

    def forward(self, x):
        """Returns an empty tuple."""
        return ()


class DBFI(nn.Module):
    """Deep bipartite-feature integration (Eq. 3): context of X joins the semantic decoder, with a residual.

    Projects before upsampling, which equals the paper's order and costs less. A 3x3 head gives the side output that the
    official training supervises (not in the paper's text).

    Args:
        channels: C of the semantic features. deep_channels: of X. ratio: h / (H / 32).
    """

    def __init__(self, channels, deep_channels, ratio):
        super().__init__()
        self.ratio = ratio
        self.project_semantic = _project(channels, channels // 2)
        self.project_deep = _project(deep_channels, channels // 2)
        self.merge = _merge(2 * (channels // 2), channels)
        self.side = SideHead(channels, 32 // ratio)

    def forward(self, semantic, deep):
        """(N, C, h, w) and X (N, CX, H/32, W/32) -> (N, C, h, w) and a 1-tuple of side logits (N, 3, H, W)."""
        deep = upsample(self.project_deep(deep), self.ratio)
        semantic = semantic + self.merge(torch.cat([self.project_semantic(semantic), deep], dim=1))
        return semantic, self.side(semantic)


class NoDBFI(nn.Module):
    """dBFI switched off: no context, and no side output."""

    def forward(self, semantic, deep):
        """Returns `semantic` and an empty tuple."""
        return semantic, ()


class Lateral(nn.Module):
    """Ours, not in the paper: encoder features of one level join the semantic decoder, for an encoder that is frozen and so
    cannot learn to carry outlines down to X.

    Args:
        channels: C of both inputs and of the output.
    """

    def __init__(self, channels):
        super().__init__()
        self.project = _project(channels, channels)

    def forward(self, semantic, encoder):
        """Two (N, C, h, w) maps -> (N, C, h, w)."""
        return semantic + self.project(encoder)


class NoLateral(nn.Module):
    """The semantic decoder of the paper, which sees X alone."""

    def forward(self, semantic, encoder):
        """Returns `semantic`."""
        return semantic
