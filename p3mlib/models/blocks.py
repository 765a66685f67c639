"""Building blocks that networks of several families share."""

from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from p3mlib.models.resnet import scaled

RATES = (6, 12, 18)  # dilations of ASPP


def conv_bn_relu(inputs, outputs, kernel, dilation=1):
    """Convolution that keeps the size, without bias, with batch norm and ReLU; `kernel` is a side or (height, width)."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (dilation * (height // 2), dilation * (width // 2))
    convolution = nn.Conv2d(inputs, outputs, (height, width), padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def upsample(x, factor):
    """Bilinear upsampling of (N, C, H, W) by an integer factor, half-pixel centres."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3, the image's mean. Batch norm of the mean needs two images to train.

    Args:
        inputs, outputs: channels.
    """

    def __init__(self, inputs, outputs):
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_bn_relu(inputs, outputs, 1), *(conv_bn_relu(inputs, outputs, 3, rate) for rate in RATES)]
        )
        self.mean = conv_bn_relu(inputs, outputs, 1)
        self.merge = conv_bn_relu((len(RATES) + 2) * outputs, outputs, 1)

    def forward(self, x):
        """(N, inputs, h, w) -> (N, outputs, h, w)."""
        mean = self.mean(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.merge(torch.cat([*(branch(x) for branch in self.branches), mean], dim=1))


class PyramidMerge(nn.Conv2d):
    """1x1 convolution of a map together with its pooled maps, which are upsampled to its size.

    In evaluation the pooled maps of a wide network are convolved before they are upsampled, which is the same and touches a
    fraction of the pixels.

    Args:
        channels: of the map and of each pooled map. pooled: how many there are. outputs: channels.
    """

    fused = True  # False convolves all at full size, step by step

    def __init__(self, channels, pooled, outputs):
        super().__init__((pooled + 1) * channels, outputs, 1)

    def forward(self, pooled, x):
        """List of (N, C, n, n), and (N, C, h, w) -> (N, outputs, h, w)."""
        grow = partial(F.interpolate, size=x.shape[2:], mode="bilinear", align_corners=True)
        if not self.fused or self.training or self.in_channels < 2000:
            return super().forward(torch.cat([*map(grow, pooled), x], dim=1))
        *weights, own = self.weight.split(x.shape[1], dim=1)
        merged = F.conv2d(x, own, self.bias)
        for y, weight in zip(pooled, weights, strict=True):
            merged = merged + grow(F.conv2d(y, weight))
        return merged


class Critic(nn.Sequential):
    """PatchGAN discriminator: image and alpha (N, 4, H, W) -> logits (N, 1, h, w), high for true mattes.

    Args:
        width: multiplies every channel count. strides: of all layers but the last.
    """

    def __init__(self, width=1.0, strides=(2, 2, 2)):
        c = [scaled(n, width) for n in (64, 128, 256)]
        layers = [nn.Conv2d(4, c[0], 4, strides[0], 1), nn.LeakyReLU(0.2, inplace=True)]
        for inputs, outputs, stride in ((c[0], c[1], strides[1]), (c[1], c[2], strides[2])):
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        super().__init__(*layers, nn.Conv2d(c[2], 1, 4, 1, 1))


def last_writers(x, indices):
    """For every window the value of the last window that names the same position, so that the order of writing is nothing.

    Windows that share a position are neighbours: to the right, or one of three in the next row.
    """
    winner = x.clone()
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        here = (..., slice(0, x.shape[-2] - down), slice(max(0, -right), x.shape[-1] - max(0, right)))
        later = (..., slice(down, None), slice(max(0, right), x.shape[-1] + min(0, right)))
        torch.where(indices[later] == indices[here], x[later], winner[here], out=winner[here])
    return winner


def unpool(x, indices):
    """Undo a 2x max-pooling: values return to where they came from, zero elsewhere.

    Overlapping 3x3 windows often name one position several times. The last of them in row-major order wins, as in the
    official code on one CPU thread; PyTorch's kernel alone leaves the winner to chance on many threads and on other devices.
    As in the official code, every window gets the gradient of its position.

    Args:
        x: (N, C, h, w). indices: (N, C, h, w) int64, positions in the (2h, 2w) plane, from windows of 2x2 or 3x3 at stride 2.
    Returns:
        (N, C, 2h, 2w).
    """
    return _unpool(x, indices)


def max_unpool(x, indices):
    """`unpool` in the memory format of its input and without a gradient."""
    return F.max_unpool2d(last_writers(x, indices), indices, 2, 2)


@torch.library.custom_op("p3mlib::max_unpool2d", mutates_args=())
def _unpool(x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    return max_unpool(x.contiguous(), indices.contiguous())


@_unpool.register_fake
def _(x, indices):
    return x.new_empty(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])


def _save_indices(ctx, inputs, output):
    ctx.save_for_backward(inputs[1])


def _gradient_of_unpool(ctx, gradient):
    (indices,) = ctx.saved_tensors
    return gradient.flatten(2).gather(2, indices.flatten(2)).view(indices.shape), None


_unpool.register_autograd(_gradient_of_unpool, setup_context=_save_indices)


def convolutions(*channels):
    """3x3 convolutions from one channel count to the next, each with batch norm and ReLU."""
    layers = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
