"""P3M-Net: one encoder, a semantic and a matting decoder, joined by TFI, sBFI and dBFI (Sec. 4.1)."""

from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from p3mlib.losses import matting_loss
from p3mlib.models.blocks import convolutions, unpool, upsample
from p3mlib.models.network import MattingNetwork, MattingOutput, Stage, fuse
from p3mlib.models.p3mnet.integration import DBFI, SBFI, TFI, Lateral, NoDBFI, NoLateral, NoSBFI, NoTFI
from p3mlib.models.p3mnet.lite0_mp import Lite0MP
from p3mlib.models.p3mnet.resnet_mp import ResNet34MP
from p3mlib.models.p3mnet.swin_mp import swin_t
from p3mlib.models.p3mnet.vitae import vitae_s

LARGEST = 256  # pixels; longer side at which P3M-Net (Lite0) sees a photograph


class P3MNet(MattingNetwork):
    """Privacy-preserving portrait matting network.

    Args:
        encoder: module giving `features.Features`, with `full_channels`, `skip_channels`, `deep_channels`,
            `changes_channels` ("first" or "last" convolution of a decoder block), `overlapping` (pooling windows) and
            `uncounted_parameters`.
        tfi, sbfi, dbfi: build the module, or its pass-through. All off is the paper's BASIC.
        lateral: encoder features of every level join the semantic decoder too; not in the paper.
    Shape:
        image (N, 3, H, W), normalised with `mean` and `std`, H and W multiples of 32 -> MattingOutput.
    Raises:
        ValueError: H or W is not a multiple of 32.
    Source:
        Sec. 4.1; concatenation order, shared TFI projection and pooling rules of the official code.
    """

    def __init__(self, encoder, tfi=True, sbfi=True, dbfi=True, lateral=False):
        super().__init__()
        self.encoder = encoder
        self.unpool = unpool if encoder.overlapping else partial(F.max_unpool2d, kernel_size=2)
        levels, full, deep = encoder.skip_channels, encoder.full_channels, encoder.deep_channels
        first = encoder.changes_channels == "first"
        inputs = (*levels, deep)
        if first:  # logits come from one more convolution, at full resolution
            segment = nn.Sequential(*convolutions(levels[0], full, full), nn.Conv2d(full, full, 3, padding=1))
            self.head = nn.Conv2d(full, 3, 3, padding=1)
        else:
            segment = nn.Sequential(*convolutions(levels[0], full, full), nn.Conv2d(full, 3, 3, padding=1))
            self.head = nn.Identity()
        blocks = [(i, o, o, o) if first else (i, i, i, o) for i, o in zip(inputs[1:], levels, strict=True)]
        self.semantic = nn.ModuleList([segment, *(convolutions(*b) for b in blocks)])
        self.matting = nn.ModuleList([convolutions(levels[0], full, full), *(convolutions(*b) for b in blocks)])
        self.detail = nn.Conv2d(full, 1, 3, padding=1)
        self.tfi = nn.ModuleList(TFI(c) if tfi else NoTFI() for c in levels)
        self.sbfi = nn.ModuleList(SBFI(c, full, 2 ** (i + 1)) if sbfi else NoSBFI() for i, c in enumerate(levels[:3]))
        self.dbfi = nn.ModuleList(DBFI(c, deep, 2 ** (4 - i)) if dbfi else NoDBFI() for i, c in enumerate(levels[:3]))
        self.lateral = nn.ModuleList(Lateral(c) if lateral else NoLateral() for c in levels)

    def forward(self, image):
        """Normalised (N, 3, H, W) -> MattingOutput."""
        self.check(image)
        features = self.encoder(image)
        segmentation, semantics, sides = self._segment(features)
        detail = self._matte(features, semantics)
        return MattingOutput(segmentation, detail, fuse(segmentation, detail), sides)

    def _segment(self, features):
        d0, d1, d2, d3, d4 = self.semantic
        deep, skips, lateral = features.deep, features.skips, self.lateral
        s3 = lateral[3](upsample(d4(deep), 2), skips[3])  # 1/16
        s2 = lateral[2](upsample(d3(s3), 2), skips[2])  # 1/8
        context, side2 = self.dbfi[2](s2, deep)
        s1 = lateral[1](upsample(d2(context), 2), skips[1])  # 1/4
        context, side1 = self.dbfi[1](s1, deep)
        s0 = lateral[0](upsample(d1(context), 2), skips[0])  # 1/2
        context, side0 = self.dbfi[0](s0, deep)
        return self.head(upsample(d0(context), 2)), (s0, s1, s2, s3), side2 + side1 + side0

    def _matte(self, features, semantics):
        x = features.deep
        for level in (4, 3, 2, 1):  # to 1/16, 1/8, 1/4, 1/2
            x = self.unpool(self.matting[level](x), features.indices[level])
            x = self.tfi[level - 1](semantics[level - 1], x, features.skips[level - 1])
            if level < 4:
                x = self.sbfi[level - 1](x, features.full)
        x = self.unpool(self.matting[0](x), features.indices[0])
        return torch.sigmoid(self.detail(x))

    def stages(self):
        """One stage with all losses of the public training code."""
        return (Stage("train", lambda network, image, batch: matting_loss(network(image), batch)),)

    @property
    def uncounted_parameters(self):
        """Parameters of the official module that take part in nothing, yet are in the paper's counts."""
        return self.encoder.uncounted_parameters


def p3mnet_resnet34(width=1.0, tfi=True, sbfi=True, dbfi=True):
    """P3M-Net (R34). `width` multiplies every channel count; see P3MNet for the switches."""
    return P3MNet(ResNet34MP(width), tfi=tfi, sbfi=sbfi, dbfi=dbfi)


def p3mnet_swin_t(width=1.0, tfi=True, sbfi=True, dbfi=True):
    """P3M-Net (Swin-T); arguments as for `p3mnet_resnet34`."""
    model = P3MNet(swin_t(width), tfi=tfi, sbfi=sbfi, dbfi=dbfi)
    model.smallest_side = 512 if width == 1 else 0  # a rule of the official network; narrow ones are trained on small images
    return model


def p3mnet_vitae_s(width=1.0, tfi=True, sbfi=True, dbfi=True):
    """P3M-Net (ViTAE-S); arguments as for `p3mnet_resnet34`."""
    return P3MNet(vitae_s(width), tfi=tfi, sbfi=sbfi, dbfi=dbfi)


class P3MNetLite0(P3MNet):
    """P3M-Net with the encoder `Lite0MP`, ours. It sees the whole image, brought to at most `LARGEST` pixels a side."""

    mean = std = (0.5, 0.5, 0.5)
    resizing, guided = "area", True
    frozen = ("encoder.stem.", "encoder.level")

    def input_size(self, height, width, side):
        """The whole image, at most `LARGEST` px: there its encoder was trained, and finds people as wholes."""
        scale = LARGEST / self.multiple / max(LARGEST, height, width)
        return tuple(max(2, round(scale * length)) * self.multiple for length in (height, width))

    def stages(self):
        """P3M-Net's stage, in which ImageNet's part of the encoder stays as it is."""
        learns = (*(name for name, _ in self.named_children() if name != "encoder"), "encoder.full", "encoder.adapters")
        return tuple(replace(stage, learns=learns) for stage in super().stages())


def p3mnet_lite0(width=1.0, tfi=True, sbfi=True, dbfi=True):
    """P3M-Net (Lite0): the paper's decoders on a frozen ImageNet encoder. `width` multiplies the decoders' channels."""
    return P3MNetLite0(Lite0MP(width), tfi=tfi, sbfi=sbfi, dbfi=dbfi, lateral=True)
