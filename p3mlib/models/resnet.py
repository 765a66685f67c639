"""Residual encoders as published (strides, dilation), with timm's blocks and names."""

import torch.nn.functional as F
from timm.models.resnet import BasicBlock, Bottleneck
from torch import nn

CHANNELS = (64, 128, 256, 512)


def scaled(channels, width):
    """Channels of a narrowed network: the nearest even number, at least 4 (projections halve it)."""
    return max(4, 2 * round(channels * width / 2))


class StrideFirst(nn.Conv2d):
    """1x1 convolution that strides by slicing: what nn.Conv2d computes, without oneDNN's strided kernel.

    With fewer than 16 input channels, channels-last, the gradient of that kernel's weights is written past its workspace, which
    ends in a crash or in silence (oneDNN issue 6035, in PyTorch 2.11).
    """

    def forward(self, x):
        """(N, C, H, W) -> (N, K, ceil(H / stride), ceil(W / stride))."""
        rows, columns = self.stride
        return F.conv2d(x[..., ::rows, ::columns], self.weight, self.bias)


def residual_stage(block, inputs, planes, blocks, stride=1, dilation=1, first_dilation=1, norm=nn.BatchNorm2d, **options):
    """A stage of a ResNet: blocks in a row; the first one strides and, as in most dilated ResNets, is not dilated.

    Args:
        block: timm's BasicBlock or Bottleneck. inputs: channels. planes: channels / `block.expansion` of the output.
        first_dilation: of the first block. norm: channels -> layer.
        options: of the block, e.g. `cardinality`, `base_width`.
    """
    outputs, shortcut, options = planes * block.expansion, None, {**options, "norm_layer": norm}
    if inputs != outputs or stride > 1:
        projection = StrideFirst if inputs < 16 and stride > 1 else nn.Conv2d
        shortcut = nn.Sequential(projection(inputs, outputs, 1, stride, bias=False), norm(outputs))
    first = block(inputs, planes, stride, shortcut, dilation=dilation, first_dilation=first_dilation, **options)
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
        inputs:         channels of the input. halved: the first block of a dilated stage has half its dilation, instead of none.
    """

    def __init__(self, block, blocks, width, output_stride=32, inputs=3, halved=False, norm=nn.BatchNorm2d, **options):
        super().__init__()
        planes = [scaled(c, width) for c in CHANNELS]
        self.channels = (planes[0], *(p * block.expansion for p in planes))
        self.conv1, self.bn1 = nn.Conv2d(inputs, planes[0], 7, 2, 3, bias=False), norm(planes[0])
        reach = 4
        for i, below in enumerate(self.channels[:4]):
            stride, dilation = (1, 1) if i == 0 else (2, 1) if reach < output_stride else (1, 2 * reach // output_stride)
            reach *= 2 if i else 1
            first = dilation // 2 if halved and dilation > 1 else 1
            stage = residual_stage(block, below, planes[i], blocks[i], stride, dilation, first, norm, **options)
            self.add_module(f"layer{i + 1}", stage)
        initialise(self)

    def forward(self, image, with_indices=False):
        """(N, C, H, W) -> list of five maps; `with_indices` also the indices of the max-pool after the stem."""
        maps = [F.relu(self.bn1(self.conv1(image)))]
        x, indices = F.max_pool2d(maps[0], 3, 2, 1, return_indices=with_indices), None
        if with_indices:
            x, indices = x
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return (maps, indices) if with_indices else maps
