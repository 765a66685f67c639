"""3x3 convolutions in fewer multiplications: Winograd's F(4x4, 3x3), of Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", CVPR 2016.

A processor without AVX-512 multiplies at its peak in oneDNN's convolutions already, so only fewer multiplications are quicker.
"""

import torch
import torch.nn.functional as F
from torch import nn

TILE, WINDOW = 4, 6  # outputs of a tile in a row, and the inputs they need
_INPUT = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_FILTER = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # x 1/24
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
_TILES, _WASTE = 16, 1.3  # a map of fewer tiles, or of so much more than its own area, takes the convolution itself
_BLOCK = 1 << 22  # numbers of a map that are worked on at once: what a cache about holds


def pays(convolution):
    """True where a module is a 3x3 convolution in float32 on a CPU that is quicker this way.

    It has stride 1, its dilation is its padding, one group, and so many channels that the products saved outweigh the transforms,
    which take the same for any number. With AVX-512 products cost half; its bound is computed from that, not measured.
    """
    if type(convolution) is not nn.Conv2d or convolution.weight.device.type != "cpu" or convolution.weight.dtype != torch.float32:
        return False
    shape, dilation = (convolution.kernel_size, convolution.stride, convolution.groups), convolution.dilation
    if shape != ((3, 3), (1, 1), 1) or convolution.padding_mode != "zeros":
        return False
    if convolution.padding != dilation or dilation[0] != dilation[1]:
        return False
    inputs, outputs = convolution.in_channels, convolution.out_channels
    return 2 * inputs * outputs / (inputs + outputs) >= _least()


def _least():
    return 192 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 115


def use(network):
    """Put `Winograd` in place of every convolution of a network that it pays for."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if pays(child):
                setattr(module, name, Winograd(child))


class Winograd(nn.Module):
    """A 3x3 convolution with stride 1, padded by its dilation. Its filters take four times the memory of the weights.

    Args:
        convolution: nn.Conv2d as described in `pays`.
    Shape:
        (N, C, H, W) -> (N, K, H, W), channels last; equals the convolution up to rounding, of which there is up to ten times as
        much: 2e-6 of the result.
    """

    def __init__(self, convolution):
        super().__init__()
        transform = torch.tensor(_FILTER, dtype=torch.float64) / 24
        weight = convolution.weight.detach().double().permute(2, 3, 1, 0)  # (3, 3, C, K)
        filters = (torch.kron(transform, transform) @ weight.reshape(9, -1)).float().view(WINDOW**2, *weight.shape[2:])
        self.convolution, self.bias = convolution, convolution.bias
        self.outputs, self.dilation = convolution.out_channels, convolution.dilation[0]
        self.register_buffer("filters", filters, persistent=False)  # (36, C, K)
        for name, matrix in (("input", _INPUT), ("output", _OUTPUT)):
            self.register_buffer(name, torch.kron(*2 * [torch.tensor(matrix, dtype=torch.float32)]), persistent=False)

    def forward(self, x):
        """(N, C, H, W) -> (N, K, H, W)."""
        (n, c, h, w), d = x.shape, self.dilation
        high, wide = -(-h // d), -(-w // d)  # of each of the d x d images that a dilated convolution takes one by one
        tiles = n * d * d * -(-high // TILE) * -(-wide // TILE)
        if tiles < _TILES or tiles * TILE**2 > _WASTE * n * h * w:
            return self.convolution(x)
        if d == 1:
            return self._convolved(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        whole = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, d * wide - w, 0, d * high - h))
        parts = whole.view(n, high, d, wide, d, c).permute(0, 2, 4, 1, 3, 5).reshape(n * d * d, high, wide, c)
        parts = self._convolved(parts).view(n, d, d, high, wide, self.outputs).permute(0, 3, 1, 4, 2, 5)
        return parts.reshape(n, d * high, d * wide, self.outputs)[:, :h, :w].permute(0, 3, 1, 2)

    def _convolved(self, x):
        """(N, H, W, C) -> (N, H, W, K)."""
        n, h, w, c = x.shape
        rows, columns = -(-h // TILE), -(-w // TILE)
        padded = F.pad(x, (0, 0, 1, TILE * columns - w + 1, 1, TILE * rows - h + 1))
        made = padded.new_empty(n, rows, TILE, columns, TILE, self.outputs)
        step = max(1, _BLOCK // (WINDOW**2 * n * columns * max(c, self.outputs)))
        for first in range(0, rows, step):
            tiles = self._tiles(padded, first, min(step, rows - first), columns)
            torch.add(tiles, 0 if self.bias is None else self.bias, out=made[:, first : first + step])
        return made.view(n, TILE * rows, TILE * columns, self.outputs)[:, :h, :w]

    def _tiles(self, padded, first, rows, columns):
        """Some rows of tiles, (N, rows, 4, columns, 4, K), from the padded input (N, ..., ..., C)."""
        n, _, _, c = padded.shape
        across, down, right, _ = padded.stride()
        shape, strides = (WINDOW, WINDOW, n, rows, columns, c), (down, right, across, TILE * down, TILE * right, 1)
        windows = padded.as_strided(shape, strides, padded.storage_offset() + TILE * first * down).reshape(WINDOW**2, -1)
        products = torch.bmm((self.input @ windows).view(WINDOW**2, -1, c), self.filters)
        tiles = (self.output @ products.view(WINDOW**2, -1)).view(TILE, TILE, n, rows, columns, self.outputs)
        return tiles.permute(2, 3, 0, 4, 1, 5)
