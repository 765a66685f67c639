"""FBA matting (Forte and Pitie 2020): alpha, foreground and background at once, with group norm and standardised weights."""

import math
from functools import partial

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from timm.models.resnet import Bottleneck
from torch import nn

from p3mlib.losses import full_precision, laplacian_loss
from p3mlib.models.network import Stage, TrimapNetwork, with_trimap
from p3mlib.models.resnet import ResNet, scaled

BINS = (1, 2, 3, 6)
SPREADS, REACH = (0.02, 0.08, 0.16), 320  # of the click maps, in units of REACH pixels
COLOUR_WEIGHT = 0.25


class StandardisedConv2d(nn.Conv2d):
    """Convolution whose filters have zero mean and unit variance."""

    def forward(self, x):
        """As nn.Conv2d."""
        return self._conv_forward(x, self._standardised(), self.bias)

    def _standardised(self):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        spread = (weight.flatten(1).var(1) + 1e-12).sqrt() + 1e-5
        return weight / spread.view(-1, 1, 1, 1)

    def settle(self):
        """Become an nn.Conv2d with these filters, which no longer learns."""
        self.weight = nn.Parameter(self._standardised().detach(), requires_grad=False)
        self.__class__ = nn.Conv2d


def standardise(module):
    """Give every convolution of a module standardised weights."""
    for child in module.modules():
        if type(child) is nn.Conv2d:
            child.__class__ = StandardisedConv2d
    return module


def group_norm(width, channels, **factory):
    """Group norm with 32 groups at width 1."""
    return nn.GroupNorm(math.gcd(max(1, round(32 * width)), channels), channels, **factory)


def click_maps(trimap):
    """Gaussians of the distance to known background, then to known foreground, each at three scales.

    Args:
        trimap: (N, 1, H, W) of 0, 0.5, 1.
    Returns:
        (N, 6, H, W), 1 on known pixels; 0 everywhere where nothing is known of a side.
    """
    maps = []
    for plane in trimap[:, 0].detach().float().cpu().numpy():
        for known in (plane < 0.25, plane > 0.75):
            distance = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 0) if known.any() else np.inf * (1 + plane)
            squared = np.rint(distance**2)  # whole numbers; OpenCV's root of them depends on where the array lies in memory
            maps += [np.exp(-squared / (2 * (spread * REACH) ** 2)) for spread in SPREADS]
    return torch.from_numpy(np.stack(maps)).view(len(trimap), 6, *trimap.shape[2:]).to(trimap)


def fuse_colours(alpha, image, fg, bg):
    """Alpha, F and B that explain the image better: the authors' closed-form steps, one after another.

    Args:
        alpha: (N, 1, H, W) in [0, 1]. image, fg, bg: (N, 3, H, W) in [0, 1].
    Returns:
        alpha, fg, bg of the same shapes, in [0, 1].
    """
    fg = alpha * image + (1 - alpha.square()) * fg - alpha * (1 - alpha) * bg
    bg = (1 - alpha) * image + (2 * alpha - alpha.square()) * bg - alpha * (1 - alpha) * fg
    fg, bg = fg.clamp(0, 1), bg.clamp(0, 1)
    apart = fg - bg
    along = ((image - bg) * apart).sum(1, keepdim=True)
    return ((0.1 * alpha + along) / (apart.square().sum(1, keepdim=True) + 0.1)).clamp(0, 1), fg, bg


def _names():
    """Of the released checkpoint."""
    names = [(r"encoder\.", "encoder."), (r"decoder\.ppm\.(\d)\.1\.", r"bins.\1.0."), (r"decoder\.ppm\.(\d)\.2\.", r"bins.\1.1.")]
    names += [(r"decoder\.conv_up1\.([01])\.", r"up1.0.\1."), (r"decoder\.conv_up1\.3\.", "up1.1.0.")]
    names += [(r"decoder\.conv_up1\.4\.", "up1.1.1."), (r"decoder\.conv_up([23])\.", r"up\1."), (r"decoder\.conv_up4\.", "up4.")]
    return tuple(names)


class FBA(TrimapNetwork):
    """ResNet-50 at output stride 8 that also sees distances to the known areas, pyramid pooling and three skips.

    Args:
        width: multiplies every channel count.
    Shape:
        (N, 4, H, W), ImageNet-normalised image and trimap, sides multiples of 8. `detail` is alpha before the fusion with the
        colours, `alpha` after it, `sides` are F and B (N, 3, H, W) in [0, 1].
    """

    multiple = 8
    official = _names()
    backbones = {"encoder": ("resnet50_gn", ((r"conv1\.", None), (r"fc\.", None)))}

    def __init__(self, width=1.0):
        super().__init__()
        for name, values in (("centre", self.mean), ("spread", self.std)):  # of the image, to have it in [0, 1] again
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)
        norm = partial(group_norm, width)
        self.encoder = standardise(ResNet(Bottleneck, (3, 4, 6, 3), width, output_stride=8, inputs=11, halved=True, norm=norm))
        stem, quarter, *_, deep = self.encoder.channels
        c = {n: scaled(n, width) for n in (256, 64, 32, 16)}

        def block(inputs, outputs, side=3):
            return nn.Sequential(nn.Conv2d(inputs, outputs, side, padding=side // 2), norm(outputs), nn.LeakyReLU())

        self.bins = standardise(nn.ModuleList(block(deep, c[256], 1) for _ in BINS))
        self.up1 = standardise(nn.Sequential(block(deep + len(BINS) * c[256], c[256]), block(c[256], c[256])))
        self.up2 = standardise(block(c[256] + quarter, c[256]))
        self.up3 = standardise(block(c[256] + stem, c[64]))
        self.up4 = nn.Sequential(
            nn.Conv2d(c[64] + 8, c[32], 3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(c[32], c[16], 3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(c[16], 7, 1),
        )

    def forward(self, x):
        """(N, 4, H, W) -> MattingOutput."""
        raw, image, trimap = self.raw(x)
        before = raw[:, :1].clamp(0, 1)
        alpha, fg, bg = fuse_colours(before, image, raw[:, 1:4].sigmoid(), raw[:, 4:].sigmoid())
        return self.pasted(alpha, trimap, (fg, bg))._replace(detail=before)

    def raw(self, x):
        """The last convolution's (N, 7, H, W), the image in [0, 1] and the trimap."""
        self.check(x)
        normal, trimap = x[:, :3], x[:, 3:]
        image = normal * self.spread.to(x.dtype) + self.centre.to(x.dtype)
        known = torch.cat([trimap < 0.25, trimap > 0.75], dim=1).to(x.dtype)
        maps = self.encoder(torch.cat([normal, click_maps(trimap), known], dim=1))
        y = maps[-1]
        pooled = [_grow(layer(F.adaptive_avg_pool2d(y, n)), y.shape[2:]) for n, layer in zip(BINS, self.bins, strict=True)]
        y = self.up1(torch.cat([y, *pooled], dim=1))
        y = self.up2(torch.cat([_grow(y, maps[1].shape[2:]), maps[1]], dim=1))
        y = self.up3(torch.cat([_grow(y, maps[0].shape[2:]), maps[0]], dim=1))
        return self.up4(torch.cat([_grow(y, x.shape[2:]), normal, image, known], dim=1)), image, trimap

    def stages(self):
        """One stage. The authors' training is not released: terms as in their paper."""
        return (Stage("train", fba_loss),)


def _grow(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


@full_precision
def exclusion(fg, bg):
    """Product of the gradients of F and B, which should not share edges; mean over differences along both axes."""
    return sum((fg.diff(dim=d).abs() * bg.diff(dim=d).abs()).mean() for d in (2, 3))


def fba_loss(network, image, batch):
    """Alpha (L1, composition, Laplacian pyramid) plus 0.25 times colours (L1, exclusion, composition, Laplacian pyramid)."""
    raw, _, _ = network.raw(with_trimap(image, batch))
    alpha, fg, bg = raw[:, :1].clamp(0, 1), raw[:, 1:4].sigmoid(), raw[:, 4:].sigmoid()
    true, seen, f, b = (batch[key] for key in ("alpha", "image", "fg", "bg"))
    planes = [(own.flatten(0, 1)[:, None], other.flatten(0, 1)[:, None]) for own, other in ((fg, f), (bg, b))]
    terms = {
        "alpha": (alpha - true).abs().mean(),
        "comp": (alpha * f + (1 - alpha) * b - seen).abs().mean(),
        "lap": laplacian_loss(alpha, true),
        "colour": (fg - f).abs().mean() + (bg - b).abs().mean(),
        "exclusion": exclusion(fg, bg),
        "colour_comp": (true * fg + (1 - true) * bg - seen).abs().mean(),
        "colour_lap": sum(laplacian_loss(own, other) for own, other in planes),
    }
    colours = sum(terms[name] for name in ("colour", "exclusion", "colour_comp", "colour_lap"))
    return {**terms, "total": terms["alpha"] + terms["comp"] + terms["lap"] + COLOUR_WEIGHT * colours}


def fba(width=1.0):
    """FBA matting; see `FBA`."""
    return FBA(width)
