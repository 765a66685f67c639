"""DIM, Deep Image Matting (Xu et al., CVPR 2017), in the layout whose size is the paper's."""

import torch.nn.functional as F
from torch import nn

from p3mlib.losses import full_precision, same_shape, transition_mask
from p3mlib.models.network import Stage, TrimapNetwork, with_trimap
from p3mlib.models.resnet import initialise, scaled
from p3mlib.models.vgg import VGG, timm_names

EPSILON = 1e-6


def _names():
    """Of the checkpoint of IndexNet's authors."""
    names = [(r"conv6\.", "conv6."), (r"alpha_pred\.", "head.")]
    names += [(rf"dconv{i}\.", f"decoder.{6 - i}.") for i in range(1, 7)]
    for kind, offset in (("conv", 0), ("bn", 1)):
        names += [(rf"{kind}{g}{i}\.", f"encoder.{g - 1}.{3 * (i - 1) + offset}.") for g in range(1, 6) for i in range(1, 4)]
    return tuple(names)


class DIM(TrimapNetwork):
    """VGG16 with a 7x7 convolution on top, and a decoder of 5x5 convolutions and un-pooling; without the refinement stage.

    Args:
        width: multiplies every channel count.
    Shape:
        (N, 4, H, W), ImageNet-normalised image and trimap, sides multiples of 32. `detail` is linear.
    """

    official = _names()
    backbones = {"encoder": ("vgg16_bn", timm_names())}

    def __init__(self, width=1.0):
        super().__init__()
        self.encoder = VGG(4, width, pools=5)
        c = self.encoder.channels
        self.conv6 = nn.Conv2d(c[4], scaled(4096, width), 7, padding=3)
        pairs = ((c[4], c[4]), (c[4], c[2]), (c[2], c[1]), (c[1], c[0]), (c[0], c[0]))
        self.decoder = nn.ModuleList([nn.Conv2d(scaled(4096, width), c[4], 1)])
        self.decoder.extend(nn.Conv2d(i, o, 5, padding=2) for i, o in pairs)
        self.head = nn.Conv2d(c[0], 1, 5, padding=2)
        initialise(self.encoder)
        for layer in (self.conv6, *self.decoder, self.head):
            nn.init.xavier_normal_(layer.weight)

    def forward(self, x):
        """(N, 4, H, W) -> MattingOutput."""
        self.check(x)
        y, indices = self.encoder(x)
        y = F.relu(self.conv6(y))
        for layer in self.decoder:
            y = F.relu(layer(y))
            if indices:
                y = F.max_unpool2d(y, indices.pop(), 2)
        return self.pasted(self.head(y), x[:, 3:])

    def stages(self):
        """One stage: half alpha, half composition."""
        return (Stage("train", dim_loss),)


@full_precision
def unknown_mean(error, mask):
    """Mean of an error (N, C, H, W) over the pixels of a mask (N, 1, H, W) of every sample, then over samples.

    A sample without such pixels counts as 0.
    """
    same_shape(error=error[:, :1], mask=mask)
    return ((error.mean(1, keepdim=True) * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)).mean()


@full_precision
def charbonnier(pred, target):
    """sqrt(d^2 + 1e-12) of every element."""
    return ((pred - target).square() + EPSILON**2).sqrt()


def alpha_and_composition(alpha, batch):
    """Charbonnier differences in the unknown area: dict of `alpha` and `comp` (mean over the three colours).

    Args:
        alpha: (N, 1, H, W) as predicted. batch: see `Stage`.
    """
    mask = transition_mask(batch["trimap"])
    composite = alpha * batch["fg"] + (1 - alpha) * batch["bg"]
    return {
        "alpha": unknown_mean(charbonnier(alpha, batch["alpha"]), mask),
        "comp": unknown_mean(charbonnier(composite, batch["image"]), mask),
    }


def dim_loss(network, image, batch):
    """Half the alpha error and half the composition error, in the unknown area."""
    terms = alpha_and_composition(network(with_trimap(image, batch)).detail, batch)
    return {**terms, "total": 0.5 * terms["alpha"] + 0.5 * terms["comp"]}


def dim(width=1.0):
    """Deep Image Matting; see `DIM`."""
    return DIM(width)
