"""VGG16 with batch norm as an encoder that keeps what un-pooling needs."""

import torch.nn.functional as F
from torch import nn

from p3mlib.models.resnet import scaled

GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # VGG16


class VGG(nn.ModuleList):
    """Groups of convolutions; (N, C, H, W) -> the last group's map and the indices of the pools, shallow to deep.

    Args:
        inputs: channels of the input. width: multiplies every channel count. pools: 2x2 max-pools, after the first groups.
    """

    def __init__(self, inputs, width, pools):
        groups = []
        for group in GROUPS:
            layers = []
            for outputs in (scaled(c, width) for c in group):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
                inputs = outputs
            groups.append(nn.Sequential(*layers))
        super().__init__(groups)
        self.pools, self.channels = pools, [scaled(group[-1], width) for group in GROUPS]

    def forward(self, x):
        """(N, C, H, W) -> map, list of indices."""
        indices = []
        for i, group in enumerate(self):
            x = group(x)
            if i < self.pools:
                x, index = F.max_pool2d(x, 2, return_indices=True)
                indices.append(index)
        return x, indices


def timm_names(prefix=""):
    """From timm's vgg16_bn to `VGG`; the first convolution, whose input differs, is left as it is."""
    names, index = [(r"features\.0\.", None)], 0
    for g, group in enumerate(GROUPS):
        for i in range(len(group)):
            names += [(rf"features\.{index + j}\.", f"{prefix}{g}.{3 * i + j}.") for j in (0, 1)]
            index += 3
        index += 1
    return (*names, (r"(pre_logits|head|classifier)\.", None))
