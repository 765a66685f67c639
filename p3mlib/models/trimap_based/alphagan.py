"""AlphaGAN (Lutz et al., BMVC 2018): a dilated ResNet-50 with ASPP, judged by a discriminator on composites."""

from functools import partial

import torch
import torch.nn.functional as F
from timm.models.resnet import Bottleneck
from torch import nn

from p3mlib.losses import channels, full_precision
from p3mlib.models.blocks import ASPP, Critic, unpool
from p3mlib.models.network import Stage, TrimapNetwork, frozen_call, with_trimap
from p3mlib.models.resnet import ResNet, initialise, scaled
from p3mlib.models.trimap_based.dim import alpha_and_composition

WEIGHTS = {"alpha": 0.5, "comp": 0.5, "adversarial": 0.001}


def _conv(inputs, outputs, side=3):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _double(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class AlphaGAN(TrimapNetwork):
    """The generator, with batch norm as in the paper and all blocks of the last two stages dilated.

    Args:
        width: multiplies every channel count.
    Shape:
        (N, 4, H, W), ImageNet-normalised image and trimap, sides multiples of 8. `detail` lies in [0, 1].
    """

    multiple = 8
    backbones = {"encoder": ("resnet50", ((r"conv1\.", None), (r"fc\.", None)))}

    def __init__(self, width=1.0):
        super().__init__()
        self.width = width
        self.encoder = ResNet(Bottleneck, (3, 4, 6, 3), width, output_stride=8, inputs=4)
        c = {n: scaled(n, width) for n in (256, 128, 64, 48, 32)}
        stem, quarter = self.encoder.channels[:2]
        self.aspp = ASPP(self.encoder.channels[-1], c[256])
        self.skip_quarter, self.skip_half = _conv(quarter, c[64], 1), _conv(stem, c[32], 1)
        self.at_quarter = nn.Sequential(_conv(c[256] + c[64], c[256]), _conv(c[256], c[128]), _conv(c[128], stem))
        self.at_half = nn.Sequential(
            _conv(stem + c[32], c[64]),
            nn.ConvTranspose2d(c[64], c[64], 3, 2, 1, output_padding=1, bias=False),
            nn.BatchNorm2d(c[64]),
            nn.ReLU(inplace=True),
            _conv(c[64], c[32]),
        )
        self.at_full = nn.Sequential(_conv(c[32] + 3, c[32]), _conv(c[32], c[32]), nn.Conv2d(c[32], 1, 3, padding=1, bias=False))
        for part in (self.aspp, self.skip_quarter, self.skip_half, self.at_quarter, self.at_half, self.at_full):
            initialise(part)

    def forward(self, x):
        """(N, 4, H, W) -> MattingOutput."""
        self.check(x)
        maps, indices = self.encoder(x, with_indices=True)
        y = self.at_quarter(torch.cat([_double(self.aspp(maps[-1])), self.skip_quarter(maps[1])], dim=1))
        y = self.at_half(torch.cat([unpool(y, indices), self.skip_half(maps[0])], dim=1))
        return self.pasted(torch.sigmoid(self.at_full(torch.cat([y, x[:, :3]], dim=1))), x[:, 3:])

    def stages(self):
        """One stage, beside a discriminator of composites and trimaps (70 px in the paper; here the public code's 34 px)."""
        return (Stage("train", alphagan_loss, critic=partial(Critic, self.width, strides=(2, 2, 1))),)


@full_precision
def _says(scores, true):
    return (scores - float(true)).square().mean()


def alphagan_loss(network, image, batch, critic):
    """Alpha and composition of the pasted matte, least-squares adversarial, and the critic's own loss."""
    alpha, trimap = network(with_trimap(image, batch)).alpha.float(), batch["trimap"]
    mean, std = (channels(values, image.dtype, image.device) for values in (network.mean, network.std))
    composite = alpha * batch["fg"] + (1 - alpha) * batch["bg"]
    false = torch.cat([(composite - mean) / std, trimap], dim=1)
    terms = {**alpha_and_composition(alpha, batch), "adversarial": _says(frozen_call(critic, false), True)}
    judged = (_says(critic(torch.cat([image, trimap], dim=1)), True) + _says(critic(false.detach()), False)) / 2
    return {**terms, "critic": judged, "total": sum(WEIGHTS[name] * term for name, term in terms.items()) + judged}


def alphagan(width=1.0):
    """AlphaGAN; see `AlphaGAN`."""
    return AlphaGAN(width)
