"""Swin-T with max-pooling between its stages: the encoder of P3M-Net (Swin-T), Sec. 4.2.2."""

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp
from torch import nn

from p3mlib.models.p3mnet.features import Stem, TokenEncoder, narrowed

WINDOW, SHIFT = 7, 3
DEPTHS, HEADS = (2, 2, 6, 2), (3, 6, 12, 24)
DROP_PATH = 0.2


def _labels(length, padding, shift, device):
    """Label of every position on one axis of the rolled grid; tokens of a window attend where their labels agree."""
    position = torch.arange(length, device=device)
    padded = torch.roll(position, -shift) >= length - padding
    region = (position >= length - WINDOW).long() + (position >= length - shift).long() if shift else 0
    return 2 * region + padded


def _windows(x, rows, columns):
    """(N, 7 rows, 7 columns, C) -> (N, windows, 49, C)."""
    n, c = x.shape[0], x.shape[3]
    x = x.view(n, rows, WINDOW, columns, WINDOW, c).transpose(2, 3)
    return x.reshape(n, rows * columns, WINDOW**2, c)


def _unwindow(x, rows, columns):
    """Inverse of `_windows`."""
    n, c = x.shape[0], x.shape[3]
    x = x.view(n, rows, columns, WINDOW, WINDOW, c).transpose(2, 3)
    return x.reshape(n, WINDOW * rows, WINDOW * columns, c)


def _relative_positions():
    """(49 x 49) int64: row of the bias table for each pair of tokens of a window."""
    y, x = torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")
    y, x = y.flatten(), x.flatten()
    down, right = y[:, None] - y[None] + WINDOW - 1, x[:, None] - x[None] + WINDOW - 1
    return down * (2 * WINDOW - 1) + right


class WindowAttention(nn.Module):
    """Multi-head attention within 7x7 windows, with a learned bias for each relative position.

    Args:
        channels: C. heads: divides C.
    """

    fused = True  # scaled_dot_product_attention; False computes it step by step

    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", _relative_positions(), persistent=False)

    def forward(self, x, blocked):
        """Windows (N, W, 49, C) and pairs that must not attend, (W, 49, 49) bool -> (N, W, 49, C)."""
        n, windows, tokens, c = x.shape
        q, k, v = self.qkv(x).view(n * windows, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        bias = (bias - 100 * blocked[:, None]).repeat(n, 1, 1, 1)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        else:
            x = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1) + bias).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(n, windows, tokens, c))


class Block(nn.Module):
    """One Swin block. Maps are padded to multiples of 7 and, unlike in the original Swin, padded tokens are never attended.

    Window and shift are the same at every size: the official code fixes them for 512 px.

    Args:
        channels: C. heads: divides C. shift: 0 or 3. drop_path: rate of stochastic depth.
    """

    def __init__(self, channels, heads, shift, drop_path):
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, 4 * channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x):
        """(N, h, w, C) -> (N, h, w, C)."""
        x = x + self.drop_path(self._attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x):
        h, w = x.shape[1:3]
        rows, columns = (h + WINDOW - 1) // WINDOW, (w + WINDOW - 1) // WINDOW
        down, right = WINDOW * rows - h, WINDOW * columns - w
        x = torch.roll(F.pad(x, (0, 0, 0, right, 0, down)), (-self.shift, -self.shift), (1, 2))
        vertical, horizontal = (_labels(side, p, self.shift, x.device) for side, p in ((h + down, down), (w + right, right)))
        label = _windows((16 * vertical[:, None] + horizontal)[None, :, :, None], rows, columns)[0, :, :, 0]
        x = self.attn(_windows(x, rows, columns), label[:, :, None] != label[:, None])
        return torch.roll(_unwindow(x, rows, columns), (self.shift, self.shift), (1, 2))[:, :h, :w]


def swin_t(width=1.0):
    """Swin-T encoder; `width` multiplies channels (96, 192, 384, 768) and heads (3, 6, 12, 24)."""
    channels = 3 * max(4, 2 * round(16 * width))
    rates = [DROP_PATH * i / (sum(DEPTHS) - 1) for i in range(sum(DEPTHS))]
    stages = []
    for i, (depth, heads) in enumerate(zip(DEPTHS, HEADS, strict=True)):
        wide, first = channels * 2**i, sum(DEPTHS[:i])
        few = narrowed(heads, width, wide)
        stages.append(nn.Sequential(*(Block(wide, few, SHIFT * (j % 2), rates[first + j]) for j in range(depth))))
    return TokenEncoder(Stem(channels // 2, nn.ReLU()), stages, channels, nn.LayerNorm(8 * channels))
