"""SHM, Semantic Human Matting (Chen et al., ACM MM 2018): T-Net finds a trimap, M-Net an alpha, and both are fused."""

import torch
import torch.nn.functional as F
from timm.models.resnet import Bottleneck
from torch import nn

from p3mlib.losses import full_precision, same_shape, segmentation_loss, trimap_labels
from p3mlib.models.blocks import PyramidMerge
from p3mlib.models.network import MattingNetwork, MattingOutput, Stage, whole_image
from p3mlib.models.resnet import ResNet, scaled
from p3mlib.models.vgg import GROUPS, VGG, timm_names

BINS = (1, 2, 3, 6)
GAMMA, TRIMAP_WEIGHT = 0.5, 0.01


def _upsample(x, size):
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


class TNet(nn.Module):
    """PSPNet-50 at output stride 8: (N, 3, H, W) -> logits (N, 3, H, W) of background, unknown, foreground."""

    def __init__(self, width):
        super().__init__()
        self.encoder = ResNet(Bottleneck, (3, 4, 6, 3), width, output_stride=8)
        deep, wide, half, narrow = self.encoder.channels[-1], scaled(1024, width), scaled(256, width), scaled(64, width)
        self.bins = nn.ModuleList(nn.Conv2d(deep, deep, 1, bias=False) for _ in BINS)
        self.bottleneck = PyramidMerge(deep, len(BINS), wide)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.PReLU())
            for i, o in ((wide, half), (half, narrow), (narrow, narrow))
        )
        self.head = nn.Conv2d(narrow, 3, 1)

    def forward(self, image):
        """(N, 3, H, W) in [0, 1] -> logits (N, 3, H, W)."""
        x = self.encoder(image)[-1]
        pooled = [conv(F.adaptive_avg_pool2d(x, n)) for n, conv in zip(BINS, self.bins, strict=True)]
        x = F.dropout2d(F.relu(self.bottleneck(pooled, x)), 0.3, self.training)
        for layer in self.up:
            x = F.dropout2d(layer(_upsample(x, [2 * s for s in x.shape[-2:]])), 0.15, self.training)
        return self.head(x)


class MNet(nn.Module):
    """VGG16 with un-pooling: image and trimap (N, 6, H, W) -> alpha (N, 1, H, W), not limited to [0, 1]."""

    def __init__(self, width):
        super().__init__()
        self.groups = VGG(6, width, pools=4)
        c = self.groups.channels
        pairs = ((c[4], c[3]), (c[3], c[2]), (c[2], c[1]), (c[1], c[0]), (c[0], c[0]))
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 5, padding=2), nn.BatchNorm2d(o), nn.ReLU(inplace=True)) for i, o in pairs
        )
        self.head = nn.Conv2d(c[0], 1, 5, padding=2)

    def forward(self, x):
        """(N, 6, H, W) -> (N, 1, H, W)."""
        x, indices = self.groups(x)
        for i, layer in enumerate(self.decoder):
            x = layer(x)
            if i < 4:
                x = F.max_unpool2d(x, indices.pop(), 2)
        return self.head(x)


def _layout_names():
    """Of the public re-implementation whose size is the paper's; it stores no sizes but these."""
    names = [(r"t_net\.classifier\.", None), (r"t_net\.feats\.", "t_net.encoder.")]
    names += [(r"t_net\.psp\.stages\.(\d)\.1\.", r"t_net.bins.\1."), (r"t_net\.psp\.bottleneck\.", "t_net.bottleneck.")]
    names += [(rf"t_net\.up_{i}\.conv\.", f"t_net.up.{i - 1}.") for i in (1, 2, 3)]
    names += [(r"t_net\.final\.0\.", "t_net.head."), (r"m_net\.conv_0\.", "m_net.head.")]
    names += [(rf"m_net\.deconv_{i}\.", f"m_net.decoder.{5 - i}.") for i in range(1, 6)]
    names += [
        (rf"m_net\.conv_{g + 1}_{i + 1}\.{j}\.", f"m_net.groups.{g}.{3 * i + j}.")
        for g, group in enumerate(GROUPS)
        for i in range(len(group))
        for j in (0, 1)
    ]
    return tuple(names)


class SHM(MattingNetwork):
    """Semantic Human Matting in the public re-implementation's layout, whose size equals the paper's.

    `detail` is what M-Net says, `alpha` the fusion: probability of foreground plus probability of unknown times M-Net's alpha.

    Args:
        width: multiplies every channel count.
    Shape:
        image (N, 3, H, W) in [0, 1], sides multiples of 16.
    """

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    multiple = 16
    official = _layout_names()
    backbones = {"t_net.encoder": ("resnet50", ((r"fc\.", None),)), "m_net": ("vgg16_bn", timm_names("groups."))}

    def __init__(self, width=1.0):
        super().__init__()
        self.t_net, self.m_net = TNet(width), MNet(width)
        wide, half = scaled(1024, width), scaled(256, width)
        self.uncounted_parameters = (wide + 1) * half + (half + 1) * 3  # a classifier that nothing uses

    def forward(self, image):
        """(N, 3, H, W) -> MattingOutput."""
        logits, raw, alpha = self.predict(image)
        return MattingOutput(logits, raw.clamp(0, 1), alpha.clamp(0, 1), ())

    def predict(self, image):
        """T-Net's logits (N, 3, H, W), M-Net's alpha and the fused alpha (N, 1, H, W), neither limited to [0, 1]."""
        self.check(image)
        logits = self.t_net(image)
        return (logits, *self.matte(image, logits.softmax(1)))

    def matte(self, image, trimap):
        """M-Net's alpha and the fused one, for probabilities (N, 3, H, W) of background, unknown, foreground."""
        raw = self.m_net(torch.cat([image, trimap], dim=1))
        return raw, trimap[:, 2:] + trimap[:, 1:2] * raw

    def input_size(self, height, width, side):
        """The whole image, at most 1600 px."""
        return whole_image(height, width, self.multiple)

    def stages(self):
        """T-Net alone, M-Net alone on true trimaps, both end to end. Patches are those of P3M-Net in all three."""
        return (
            Stage("T-Net", trimap_stage, learns=("t_net",)),
            Stage("M-Net", matte_stage, learns=("m_net",)),
            Stage("end to end", joint_stage, share=2.0),
        )


@full_precision
def prediction_loss(alpha_pred, alpha, image, fg, bg):
    """Half the alpha error plus half the composition error, each sqrt(d^2 + 1e-6), means over all pixels.

    Args:
        alpha_pred, alpha: (N, 1, H, W). image, fg, bg: (N, 3, H, W) in [0, 1].
    Returns:
        dict of scalar tensors `alpha` and `comp`.
    """
    same_shape(alpha_pred=alpha_pred, alpha=alpha)
    same_shape(image=image, fg=fg, bg=bg)
    composite = alpha_pred * fg + (1 - alpha_pred) * bg
    return {
        "alpha": ((alpha_pred - alpha).square() + 1e-6).sqrt().mean(),
        "comp": ((composite - image).square() + 1e-6).sqrt().mean(),
    }


def trimap_stage(network, image, batch):
    """Cross entropy of T-Net."""
    loss = segmentation_loss(network.t_net(image), batch["trimap"])
    return {"ce": loss, "total": loss}


def matte_stage(network, image, batch):
    """`prediction_loss` of M-Net on the true trimap."""
    known = F.one_hot(trimap_labels(batch["trimap"]), 3).permute(0, 3, 1, 2).to(image.dtype)
    return _matte_terms(network.matte(image, known)[1], batch)


def joint_stage(network, image, batch):
    """`prediction_loss` of the fused alpha plus 0.01 times T-Net's cross entropy."""
    logits, _, alpha = network.predict(image)
    terms = _matte_terms(alpha, batch)
    ce = segmentation_loss(logits, batch["trimap"])
    return {**terms, "ce": ce, "total": terms["total"] + TRIMAP_WEIGHT * ce}


def _matte_terms(alpha, batch):
    terms = prediction_loss(alpha, *(batch[key] for key in ("alpha", "image", "fg", "bg")))
    return {**terms, "total": GAMMA * terms["alpha"] + (1 - GAMMA) * terms["comp"]}


def shm(width=1.0):
    """SHM; see `SHM`."""
    return SHM(width)
