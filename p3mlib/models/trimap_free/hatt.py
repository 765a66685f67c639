"""HAttMatting (Qiao et al., CVPR 2020): attention between deep semantics and shallow appearance.

No code of it was released. What stands here is our reading of the published design, in a layout whose size comes within 0.01% of
the P3M paper's 106.96 M; nothing finer is claimed.
"""

from functools import partial

import torch
import torch.nn.functional as F
from timm.models.resnet import Bottleneck
from torch import nn

from p3mlib.losses import full_precision, same_shape
from p3mlib.models.blocks import ASPP, Critic, conv_bn_relu, upsample
from p3mlib.models.network import MattingNetwork, MattingOutput, Stage, frozen_call, whole_image
from p3mlib.models.resnet import ResNet, scaled

WEIGHTS = {"adversarial": 0.05, "mse": 1.0, "ssim": 0.1}
LATER = {**WEIGHTS, "ssim": 0.025}  # after the first epoch
WINDOW, SIGMA = 11, 1.5  # of SSIM


class HATT(MattingNetwork):
    """HAttMatting. There is no segmentation: `segmentation` holds scores made from alpha, whose largest is background below 0.05,
    foreground above 0.95, and transition between. `detail` is alpha.

    Args:
        width:         multiplies every channel count.
        output_stride: of the encoder: 16 (as "upsampling by 4" says), 8 or 32.
        layers:        blocks of the encoder's stages.
    Shape:
        image (N, 3, H, W), ImageNet-normalised, sides multiples of 32.
    """

    backbones = {"encoder": ("resnext101_32x8d", ((r"fc\.", None),))}

    def __init__(self, width=1.0, output_stride=16, layers=(3, 4, 23, 3)):
        super().__init__()
        self.width = width
        groups = max(1, round(32 * width))
        self.encoder = ResNet(Bottleneck, layers, width, output_stride, cardinality=groups, base_width=256 // groups)
        c, low = scaled(256, width), self.encoder.channels[1]
        self.aspp = ASPP(self.encoder.channels[-1], c)
        self.attend_channels = nn.Sequential(
            nn.Linear(c, scaled(64, width)), nn.ReLU(), nn.Linear(scaled(64, width), c), nn.Sigmoid()
        )
        self.distil = conv_bn_relu(c, c, 3)
        self.rows_first = nn.Sequential(conv_bn_relu(c, c, (1, 7)), conv_bn_relu(c, c, (7, 1)))
        self.columns_first = nn.Sequential(conv_bn_relu(c, c, (7, 1)), conv_bn_relu(c, c, (1, 7)))
        self.attend_places = conv_bn_relu(2 * c, c, 1)
        self.attend_places[-1] = nn.Sigmoid()
        self.low = conv_bn_relu(low, c, 3)
        c2, c3 = scaled(128, width), scaled(16, width)
        self.decoder = nn.ModuleList([conv_bn_relu(2 * c, c, 3), conv_bn_relu(c, c2, 3), conv_bn_relu(c2, c3, 3)])
        self.head = nn.Conv2d(c3, 1, 3, padding=1)

    def forward(self, image):
        """(N, 3, H, W) -> MattingOutput."""
        self.check(image)
        maps = self.encoder(image)
        deep = F.interpolate(self.aspp(maps[-1]), maps[1].shape[2:], mode="bilinear", align_corners=False)
        distilled = self.distil(deep * self.attend_channels(deep.mean((2, 3)))[:, :, None, None])
        places = self.attend_places(torch.cat([self.rows_first(distilled), self.columns_first(distilled)], dim=1))
        x = self.decoder[0](torch.cat([self.low(maps[1]) * places, distilled], dim=1))
        x = self.decoder[2](upsample(self.decoder[1](upsample(x, 2)), 2))
        alpha = torch.sigmoid(self.head(x))
        scores = torch.cat([0.05 - alpha, torch.zeros_like(alpha), alpha - 0.95], dim=1)
        return MattingOutput(scores.detach(), alpha, alpha, ())

    def input_size(self, height, width, side):
        """The whole image, at most 1600 px."""
        return whole_image(height, width, self.multiple)

    def stages(self):
        """All terms at once; SSIM counts less after the first of the published 20 epochs."""
        critic = partial(Critic, self.width)
        return (
            Stage("structure", partial(hatt_loss, weights=WEIGHTS), share=1.0, critic=critic),
            Stage("train", partial(hatt_loss, weights=LATER), share=19.0, critic=critic),
        )


@full_precision
def ssim(pred, alpha):
    """Structural similarity, mean over all windows of 11x11 (Gaussian, sigma 1.5) that lie inside.

    Args:
        pred, alpha: (N, 1, H, W) in [0, 1], at least 11 pixels a side.
    Returns:
        scalar tensor, at most 1.
    Source:
        Wang et al. 2004, with K1 = 0.01, K2 = 0.03.
    """
    same_shape(pred=pred, alpha=alpha)
    offsets = torch.arange(WINDOW, device=pred.device, dtype=pred.dtype) - WINDOW // 2
    taps = torch.exp(-offsets.square() / (2 * SIGMA**2))
    taps = taps / taps.sum()
    down, across = (_sliding(taps, side) for side in pred.shape[2:])
    planes = torch.cat([pred, alpha, pred * pred, alpha * alpha, pred * alpha], dim=1)
    x, y, xx, yy, xy = (down @ planes @ across.T).unbind(1)
    c1, c2 = 0.01**2, 0.03**2
    numerator = (2 * x * y + c1) * (2 * (xy - x * y) + c2)
    return (numerator / ((x * x + y * y + c1) * (xx - x * x + yy - y * y + c2))).mean()


def _sliding(taps, side):
    """(side - len(taps) + 1, side) matrix that filters a row; training a convolution of one channel is slow on CPUs."""
    offset = torch.arange(side, device=taps.device) - torch.arange(side - len(taps) + 1, device=taps.device)[:, None]
    inside = (offset >= 0) & (offset < len(taps))
    return torch.where(inside, taps[offset.clamp(0, len(taps) - 1)], 0.0)


@full_precision
def _says(logits, true):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(true)))


def hatt_loss(network, image, batch, critic, weights):
    """Adversarial (cross entropy), mean squared error and 1 - SSIM of alpha, and the critic's own cross entropy."""
    pred, alpha = network(image).alpha.float(), batch["alpha"]
    terms = {
        "adversarial": _says(frozen_call(critic, torch.cat([image, pred], dim=1)), True),
        "mse": F.mse_loss(pred, alpha),
        "ssim": 1 - ssim(pred, alpha),
    }
    true, false = (critic(torch.cat([image, matte], dim=1)) for matte in (alpha, pred.detach()))
    judged = (_says(true, True) + _says(false, False)) / 2
    return {**terms, "critic": judged, "total": sum(weights[name] * term for name, term in terms.items()) + judged}


def hatt(width=1.0, output_stride=16, layers=(3, 4, 23, 3)):
    """HAttMatting; see `HATT`."""
    return HATT(width, output_stride, tuple(layers))
