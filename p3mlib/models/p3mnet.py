"""P3M-Net: one encoder, a semantic and a matting decoder, joined by TFI, sBFI and dBFI (Sec. 4.1)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from p3mlib.models.integration import DBFI, SBFI, TFI, NoDBFI, NoSBFI, NoTFI, upsample
from p3mlib.models.resnet_mp import ResNet34MP


class MattingOutput(NamedTuple):
    """Output of a matting network for an (N, 3, H, W) image.

    segmentation: (N, 3, H, W) logits of background, transition, foreground.
    detail:       (N, 1, H, W) alpha in [0, 1], meant for the transition area.
    alpha:        (N, 1, H, W) final alpha in [0, 1].
    sides:        side logits (N, 3, H, W), coarse to fine; empty without dBFI.
    """

    segmentation: Tensor
    detail: Tensor
    alpha: Tensor
    sides: tuple


def fuse(segmentation, detail):
    """Final alpha: `detail` where the transition class wins, else 0 or 1. No gradient reaches the segmentation.

    Args:
        segmentation: (N, 3, H, W) logits. detail: (N, 1, H, W) in [0, 1].
    Returns:
        (N, 1, H, W) in [0, 1].
    """
    background, transition, foreground = segmentation.detach().split(1, dim=1)
    # An argmax whose first maximum wins, several times faster on a CPU.
    opaque = (foreground > background) & (foreground > transition)
    unknown = (transition > background) & (transition >= foreground)
    return torch.where(unknown, detail, opaque.to(detail.dtype))


@torch.library.custom_op("p3mlib::max_unpool2d", mutates_args=())
def unpool(x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Undo a 2x max-pooling: values return to where they came from, zero elsewhere.

    Overlapping 3x3 windows often name one position several times. The last of them in row-major order wins, as in the
    official code on one CPU thread; PyTorch's kernel alone leaves the winner to chance on many threads and on other devices.
    As in the official code, every window gets the gradient of its position.

    Args:
        x: (N, C, h, w). indices: (N, C, h, w) int64, positions in the (2h, 2w) plane, from windows of 2x2 or 3x3 at stride 2.
    Returns:
        (N, C, 2h, 2w).
    """
    x, indices = x.contiguous(), indices.contiguous()
    winner = x.clone()
    # Windows that share a position are neighbours. Whoever writes last, all of them now write the same value.
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        here = (..., slice(0, x.shape[-2] - down), slice(max(0, -right), x.shape[-1] - max(0, right)))
        later = (..., slice(down, None), slice(max(0, right), x.shape[-1] + min(0, right)))
        torch.where(indices[later] == indices[here], x[later], winner[here], out=winner[here])
    return F.max_unpool2d(winner, indices, 2, 2)


@unpool.register_fake
def _(x, indices):
    return x.new_empty(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])


def _save_indices(ctx, inputs, output):
    ctx.save_for_backward(inputs[1])


def _gradient_of_unpool(ctx, gradient):
    (indices,) = ctx.saved_tensors
    return gradient.flatten(2).gather(2, indices.flatten(2)).view(indices.shape), None


unpool.register_autograd(_gradient_of_unpool, setup_context=_save_indices)


def _convs(*channels):
    layers = []
    for inputs, outputs in zip(channels[:-1], channels[1:], strict=True):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class P3MNet(nn.Module):
    """Privacy-preserving portrait matting network.

    Args:
        encoder: module giving `resnet_mp.Features`, with `full_channels`, `skip_channels`, `deep_channels`.
        tfi, sbfi, dbfi: build the module, or its off twin. All off is the paper's BASIC.
    Shape:
        image (N, 3, H, W), normalised with `mean` and `std`, H and W multiples of 32 -> MattingOutput.
    Raises:
        ValueError: H or W is not a multiple of 32.
    Source:
        Sec. 4.1; concatenation order, shared TFI projection and pooling rules of the official code.
    """

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self, encoder, tfi=True, sbfi=True, dbfi=True):
        super().__init__()
        self.encoder = encoder
        c0, c1, c2, c3 = encoder.skip_channels
        full, deep = encoder.full_channels, encoder.deep_channels
        levels = (c0, c1, c2, c3)
        self.semantic = nn.ModuleList(
            [
                nn.Sequential(*_convs(c0, c0, c0), nn.Conv2d(c0, 3, 3, padding=1)),
                _convs(c1, c1, c1, c0),
                _convs(c2, c2, c2, c1),
                _convs(c3, c3, c3, c2),
                _convs(deep, deep, deep, c3),
            ]
        )
        self.matting = nn.ModuleList(
            [
                _convs(c0, c0, full),
                _convs(c1, c1, c1, c0),
                _convs(c2, c2, c2, c1),
                _convs(c3, c3, c3, c2),
                _convs(deep, deep, deep, c3),
            ]
        )
        self.detail = nn.Conv2d(full, 1, 3, padding=1)
        self.tfi = nn.ModuleList(TFI(c) if tfi else NoTFI() for c in levels)
        self.sbfi = nn.ModuleList(SBFI(c, full, 2 ** (i + 1)) if sbfi else NoSBFI() for i, c in enumerate(levels[:3]))
        self.dbfi = nn.ModuleList(DBFI(c, deep, 2 ** (4 - i)) if dbfi else NoDBFI() for i, c in enumerate(levels[:3]))

    def forward(self, image):
        """Normalised (N, 3, H, W) -> MattingOutput."""
        if image.shape[-1] % 32 or image.shape[-2] % 32:
            raise ValueError(f"image of {tuple(image.shape)}: height and width must be multiples of 32")
        features = self.encoder(image)
        segmentation, semantics, sides = self._segment(features)
        detail = self._matte(features, semantics)
        return MattingOutput(segmentation, detail, fuse(segmentation, detail), sides)

    def _segment(self, features):
        d0, d1, d2, d3, d4 = self.semantic
        deep = features.deep
        s3 = upsample(d4(deep), 2)  # 1/16
        s2 = upsample(d3(s3), 2)  # 1/8
        context, side2 = self.dbfi[2](s2, deep)
        s1 = upsample(d2(context), 2)  # 1/4
        context, side1 = self.dbfi[1](s1, deep)
        s0 = upsample(d1(context), 2)  # 1/2
        context, side0 = self.dbfi[0](s0, deep)
        return upsample(d0(context), 2), (s0, s1, s2, s3), side2 + side1 + side0

    def _matte(self, features, semantics):
        x = features.deep
        for level in (4, 3, 2, 1):  # to 1/16, 1/8, 1/4, 1/2
            x = unpool(self.matting[level](x), features.indices[level])
            x = self.tfi[level - 1](semantics[level - 1], x, features.skips[level - 1])
            if level < 4:
                x = self.sbfi[level - 1](x, features.full)
        x = unpool(self.matting[0](x), features.indices[0])
        return torch.sigmoid(self.detail(x))

    @property
    def uncounted_parameters(self):
        """Parameters of the official module that take part in nothing, yet are in the paper's counts."""
        return self.encoder.uncounted_classifier


def p3mnet_resnet34(width=1.0, tfi=True, sbfi=True, dbfi=True):
    """P3M-Net (R34). `width` multiplies every channel count; see P3MNet for the switches."""
    return P3MNet(ResNet34MP(width), tfi=tfi, sbfi=sbfi, dbfi=dbfi)
