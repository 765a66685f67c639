"""Residual encoders as published (strides, dilation), with timm's blocks and names."""

import torch.nn.functional as F
from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn

CHANNELS = (64, 128, 256, 512)


def scaled(channels, width):
    """Channels of a narrowed network: the nearest even number, at least 4 (projections halve it)."""
    return max(4, 2 * round(channels * width / 2))


def residual_stage(block, inputs, planes, blocks, stride=1, dilation=1, **options):
    """A stage of a ResNet: blocks in a row; the first one strides and, as in most dilated ResNets, is not dilated.

    Args:
        block: timm's BasicBlock or Bottleneck. inputs: channels. planes: channels / `block.expansion` of the output.
        options: of the block, e.g. `cardinality`, `base_width`.
    """
    outputs, shortcut = planes * block.expansion, None
    if inputs != outputs or stride > 1:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = block(inputs, planes, stride, shortcut, dilation=dilation, first_dilation=1, **options)
    return nn.Sequential(first, *(block(outputs, planes, dilation=dilation, **options) for _ in range(blocks - 1)))


def initialise(encoder):
    """He initialisation; each residual block begins as the identity (the last norm's scale is zero)."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, (BasicBlock, Bottleneck)):
            module.zero_init_last()


class ResNet(nn.Module):
    """(N, 3, H, W) -> five maps, shallow to deep: after the stem at 1/2, after the stages at 1/4 and deeper.

    Args:
        block, options: see `residual_stage`. blocks: of the four stages. width: multiplies every channel count.
        output_stride:  8, 16 or 32: deeper stages dilate instead of striding.
    """

    def __init__(self, block, blocks, width, output_stride=32, **options):
        super().__init__()
        planes = [scaled(c, width) for c in CHANNELS]
        self.channels = (planes[0], *(p * block.expansion for p in planes))
        self.conv1, self.bn1 = nn.Conv2d(3, planes[0], 7, 2, 3, bias=False), nn.BatchNorm2d(planes[0])
        reach = 4
        for i, inputs in enumerate(self.channels[:4]):
            stride, dilation = (1, 1) if i == 0 else (2, 1) if reach < output_stride else (1, 2 * reach // output_stride)
            reach *= 2 if i else 1
            stage = residual_stage(block, inputs, planes[i], blocks[i], stride, dilation, **options)
            self.add_module(f"layer{i + 1}", stage)
        initialise(self)

    def forward(self, image):
        """(N, 3, H, W) -> list of five maps."""
        maps = [F.relu(self.bn1(self.conv1(image)))]
        x = F.max_pool2d(maps[0], 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps
