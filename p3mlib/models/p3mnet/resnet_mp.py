"""ResNet-34 with max-pooling in place of strides: the encoder of P3M-Net (R34), Sec. 4.2.1."""

import torch.nn.functional as F
from timm.models.resnet import BasicBlock
from torch import nn

from p3mlib.models.p3mnet.features import Features
from p3mlib.models.resnet import CHANNELS, initialise, residual_stage, scaled

BLOCKS = (3, 4, 6, 3)


class ResNet34MP(nn.Module):
    """ResNet-34 whose stem and stages never stride; five 3x3/2 max-poolings keep their indices for un-pooling.

    There is no learned layer at 1/2: that skip is the pooled E0. Every pooling precedes its stage. That each residual block
    begins as the identity matters for training from scratch: BASIC learns twice as fast.

    Args:
        width: multiplies every channel count; 1 is the paper's network.
    """

    changes_channels, overlapping = "last", True
    paste_at = ("stem", "layer1", "layer2", "layer3", "layer4")

    def __init__(self, width=1.0):
        super().__init__()
        c1, c2, c3, c4 = (scaled(c, width) for c in CHANNELS)
        self.full_channels, self.skip_channels, self.deep_channels = c1, (c1, c1, c2, c3), c4
        self.stem = nn.Sequential(nn.Conv2d(3, c1, 7, padding=3, bias=False), nn.BatchNorm2d(c1), nn.ReLU(inplace=True))
        self.layer1 = residual_stage(BasicBlock, c1, c1, BLOCKS[0])
        self.layer2 = residual_stage(BasicBlock, c1, c2, BLOCKS[1])
        self.layer3 = residual_stage(BasicBlock, c2, c3, BLOCKS[2])
        self.layer4 = residual_stage(BasicBlock, c3, c4, BLOCKS[3])
        # The authors' module also carries an unused ImageNet classifier; the paper counts its parameters.
        self.uncounted_parameters = 1000 * c4 + 1000
        initialise(self)

    def forward(self, image):
        """(N, 3, H, W) normalised image, sides multiples of 32 -> Features."""
        e0 = self.stem(image)
        half, id0 = _pool(e0)
        quarter, id1 = _pool(half)
        e1 = self.layer1(quarter)
        eighth, id2 = _pool(e1)
        e2 = self.layer2(eighth)
        sixteenth, id3 = _pool(e2)
        e3 = self.layer3(sixteenth)
        deep, id4 = _pool(e3)
        return Features(e0, (half, e1, e2, e3), self.layer4(deep), (id0, id1, id2, id3, id4))


def _pool(x):
    return F.max_pool2d(x, 3, stride=2, padding=1, return_indices=True)
