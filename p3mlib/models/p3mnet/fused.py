"""Fused modules for inference: the same maps in fewer operations. `inference.fast` swaps them into its private copy.

Every one is made from a module whose batch norms are folded, takes and gives what that module does, and equals it up to
rounding. None is for training.
"""

import copy
from functools import lru_cache

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import nn

from p3mlib.models.blocks import max_unpool
from p3mlib.models.p3mnet import swin_mp
from p3mlib.models.p3mnet.features import Stem, _to_tokens, pool
from p3mlib.models.p3mnet.integration import DBFI, SBFI

TAPS = 9  # of a 3x3 window, row by row


@lru_cache(maxsize=16)
def spread(length, factor):
    """Matrix of bilinear upsampling followed by the three shifts of a zero-padded window.

    Args:
        length: of the coarse axis. factor: of the upsampling, half-pixel centres.
    Returns:
        (factor length, 3 length) float32. Column 3 i + t is what sample i of the map for tap t (-1, 0, 1) gives to each fine
        position; the rows of taps that leave the map are zero there.
    """
    with torch.inference_mode(False):
        fine = torch.eye(length, device="cpu")[None]
        fine = F.interpolate(fine, scale_factor=factor, mode="linear", align_corners=False)[0].T  # (fine, coarse)
        padded = F.pad(fine, (0, 0, 1, 1))
        shifted = [padded[t : t + factor * length] for t in range(3)]
        return torch.stack(shifted, dim=2).flatten(1)


def shifted_sum(maps, bias):
    """Sum of nine maps per output, each shifted by its tap: the last step of a zero-padded 3x3 convolution.

    Args:
        maps: (9, ..., h, w), one for each tap. bias: None, or broadcasts to (..., h, w).
    Returns:
        (..., h, w).
    """
    h, w = maps.shape[-2:]
    total = maps[4].clone() if bias is None else maps[4] + bias
    for tap in range(TAPS):
        down, right = tap // 3 - 1, tap % 3 - 1
        if tap != 4:
            target = total[..., max(0, -down) : h - max(0, down), max(0, -right) : w - max(0, right)]
            target += maps[tap][..., max(0, down) : h + min(0, down), max(0, right) : w + min(0, right)]
    return total


class OutputConvolution(nn.Module):
    """3x3 convolution to a few channels as one matrix product to nine maps per output, and their shifted sum.

    Args:
        convolution: nn.Conv2d, 3x3, padding 1, stride 1, groups 1.
    """

    def __init__(self, convolution):
        super().__init__()
        self.weight = convolution.weight.detach().permute(2, 3, 0, 1).flatten(0, 2)  # (9 outputs, inputs)
        self.bias, self.outputs = convolution.bias, convolution.out_channels

    def forward(self, x):
        """(N, C, h, w) -> (N, outputs, h, w)."""
        n, c, h, w = x.shape
        maps = self.weight @ x.permute(0, 2, 3, 1).reshape(-1, c).T
        maps = maps.view(TAPS, self.outputs, n, h, w).float()
        bias = None if self.bias is None else self.bias.float()[:, None, None, None]
        return shifted_sum(maps, bias).transpose(0, 1).to(x.dtype)


class ShiftedSum(nn.Module):
    """Second half of a 3x3 convolution, `shifted_sum`; the first half is in the layer that gives its nine maps.

    Args:
        bias: (outputs,).
    """

    def __init__(self, bias):
        super().__init__()
        self.bias = bias

    def forward(self, maps):
        """(N, 9 outputs, h, w), taps first -> (N, outputs, h, w)."""
        n, c, h, w = maps.shape
        maps = maps.view(n, TAPS, c // TAPS, h, w).transpose(0, 1).float()
        return shifted_sum(maps, self.bias.float()[:, None, None]).to(maps.dtype)


class Contiguous(nn.Module):
    """Gives its input plane by plane."""

    def forward(self, x):
        """(N, C, h, w) -> the same, contiguous."""
        return x.contiguous()


def folded_head(last, head):
    """A convolution, an upsampling that follows it and a second convolution: the second's taps move before the upsampling.

    Args:
        last: nn.Conv2d before the upsampling. head: nn.Conv2d after it, 3x3, padding 1, with bias.
    Returns:
        nn.Sequential in place of `last`, `ShiftedSum` in place of `head`.
    """
    taps = head.weight.detach().permute(2, 3, 0, 1).flatten(0, 2).double()  # (9 outputs, channels)
    first = nn.Conv2d(last.in_channels, len(taps), 3, padding=1, device=last.weight.device, dtype=last.weight.dtype)
    with torch.no_grad():
        first.weight.copy_((taps @ last.weight.double().flatten(1)).view(first.weight.shape))
        first.bias.copy_(taps @ last.bias.double())
    return nn.Sequential(first.requires_grad_(False), Contiguous()), ShiftedSum(head.bias)


class QuickDBFI(nn.Module):
    """`DBFI` without side output. The half of its merge that sees the upsampled context is computed before the upsampling.

    Convolving an upsampled map is, for each tap of the window, a 1x1 convolution at the coarse size, upsampling and a shift;
    the last two are one matrix for the rows and one for the columns, `spread`.

    Args:
        module: `DBFI` with its batch norm folded.
    """

    def __init__(self, module):
        super().__init__()
        self.ratio, self.project_semantic, self.project_deep = module.ratio, module.project_semantic, module.project_deep
        merge = module.merge[0]
        half = merge.in_channels // 2
        self.merge = _convolution(merge.weight[:, :half], merge.bias)
        # (3 rows x 3 columns x outputs, half)
        self.weight = merge.weight.detach()[:, half:].permute(2, 3, 0, 1).flatten(0, 2).contiguous()

    def forward(self, semantic, deep):
        """(N, C, h, w) and X (N, CX, H/32, W/32) -> (N, C, h, w) and an empty tuple."""
        merged = self.merge(self.project_semantic(semantic))
        merged += self._context(deep).permute(0, 3, 1, 2)
        return merged.relu_().add_(semantic), ()

    def _context(self, deep):
        maps = F.linear(self.project_deep(deep).permute(0, 2, 3, 1), self.weight)
        n, h, w = maps.shape[:3]
        down, right = (spread(side, self.ratio).to(maps.device, maps.dtype) for side in (h, w))
        rows = maps.view(n, h, w, 3, -1).transpose(2, 3).reshape(n, 3 * h, -1)
        rows = (down @ rows).view(n, self.ratio * h, 3 * w, -1)
        return right @ rows


class QuickSBFI(nn.Module):
    """`SBFI` with a residual added in place.

    Args:
        module: `SBFI` with its batch norm folded.
    """

    def __init__(self, module):
        super().__init__()
        self.ratio, self.merge = module.ratio, module.merge
        self.project_matting, self.project_full = module.project_matting, module.project_full

    def forward(self, matting, full):
        """(N, C, h, w) and E0 (N, C0, H, W) -> (N, C, h, w)."""
        full = F.max_pool2d(full, 2, stride=self.ratio)
        return self.merge(torch.cat([self.project_matting(matting), self.project_full(full)], dim=1)).add_(matting)


class QuickStem(nn.Module):
    """`features.Stem` with its activations in place.

    Args:
        module: `Stem`.
    """

    def __init__(self, module):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = module.conv1, module.conv2, module.conv3
        self.last, self.norm = module.last, module.norm

    def forward(self, image):
        """As `Stem`."""
        full = self.conv1(image).relu_()
        x, index0 = pool(full)
        half = self.conv2(x).relu_()
        x, index1 = pool(half)
        return full, half, self.norm(_to_tokens(self.last(self.conv3(x)))), (index0, index1)


class PackedLinear(nn.Module):
    """nn.Linear with its weight in oneDNN's own order, where that exists: float32 on a CPU.

    Args:
        linear: nn.Linear. gelu: exact GELU follows.
    """

    def __init__(self, linear, gelu=False):
        super().__init__()
        self.weight, self.bias, self.gelu = linear.weight, linear.bias, gelu
        self.packed = None
        if _can_pack(self.weight):
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), None)

    def forward(self, x):
        """(..., inputs) -> (..., outputs)."""
        if self.packed is None or x.dtype != torch.float32 or x.device.type != "cpu":
            x = F.linear(x, self.weight, self.bias)
            return F.gelu(x) if self.gelu else x
        post = ("gelu", [], "none") if self.gelu else ("none", [], "")
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, *post)


def _can_pack(weight):
    on_cpu = weight.device.type == "cpu" and weight.dtype == torch.float32
    return on_cpu and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _convolution(weight, bias):
    made = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False, device="meta")
    made.weight = nn.Parameter(weight.detach().contiguous(memory_format=torch.channels_last), requires_grad=False)
    made.bias = bias
    return made


def merged_groups(convolution):
    """A grouped convolution with fewer, wider groups, zeros where the old ones do not meet.

    oneDNN's kernels for the CPU work on 16 channels at once; groups of four outputs leave most of that idle, which costs more
    than multiplying by the zeros.

    Args:
        convolution: nn.Conv2d.
    Returns:
        nn.Conv2d with groups of 16 outputs, or `convolution` itself if that does not apply: on another device, outputs per
        group are not 4, inputs per group not more than that, or the groups do not come in fours.
    """
    groups, weight = convolution.groups, convolution.weight
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    if outputs != 4 or inputs <= 4 or groups % 4 or weight.device.type != "cpu":
        return convolution
    blocks = weight.detach().view(groups // 4, 4, outputs, inputs, *weight.shape[2:])
    wide = blocks.new_zeros(groups // 4, 4, outputs, 4, inputs, *weight.shape[2:])
    for i in range(4):
        wide[:, i, :, i] = blocks[:, i]
    made = copy.copy(convolution)
    made._parameters = dict(convolution._parameters)
    made.groups = groups // 4
    wide = wide.view(len(weight), 4 * inputs, *weight.shape[2:]).contiguous(memory_format=torch.channels_last)
    made.weight = nn.Parameter(wide, requires_grad=False)
    return made


class QuickBlock(nn.Module):
    """`swin_mp.Block`: windows are gathered and scattered by one index each, and the bias of a size is kept.

    Padded positions take the first token; as in the block they are never attended.

    Args:
        module: `swin_mp.Block`.
    """

    def __init__(self, module):
        super().__init__()
        self.shift, self.norm1, self.norm2, self.mlp = module.shift, module.norm1, module.norm2, module.mlp
        self.heads, self.qkv, self.proj = module.attn.heads, module.attn.qkv, module.attn.proj
        self.table = module.attn.relative_position_bias_table
        self.positions = module.attn.relative_position_index
        self.kept = None, None  # size, and what `_plan` gives for it

    def forward(self, x):
        """(N, h, w, C) -> (N, h, w, C)."""
        attended = self._attend(self.norm1(x)).add_(x)
        return self.mlp(self.norm2(attended)).add_(attended)

    def _attend(self, x):
        n, h, w, c = x.shape
        gather, scatter, bias = self._plan_of(n, h, w)
        x = self.qkv(x.view(n, h * w, c)).index_select(1, gather)
        q, k, v = x.view(-1, swin_mp.WINDOW**2, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype)).transpose(1, 2).reshape(n, -1, c)
        return self.proj(x.index_select(1, scatter)).view(n, h, w, c)

    def _plan_of(self, n, h, w):
        key = n, h, w, self.table.device
        if self.kept[0] != key:
            self.kept = key, self._plan(n, h, w)
        return self.kept[1]

    def _plan(self, n, h, w):
        """Token of every place in the windows, place of every token, and bias (N W, heads, 49, 49)."""
        window, device = swin_mp.WINDOW, self.table.device
        rows, columns = -(-h // window), -(-w // window)
        sides = (h, window * rows), (w, window * columns)
        y, x = ((torch.arange(full, device=device) + self.shift) % full for _, full in sides)
        tokens = torch.where((y[:, None] < h) & (x < w), y[:, None] * w + x, 0)
        label = [swin_mp._labels(full, full - side, self.shift, device) for side, full in sides]
        tokens, label = (
            swin_mp._windows(grid[None, :, :, None], rows, columns)[0, :, :, 0]
            for grid in (tokens, 16 * label[0][:, None] + label[1])
        )
        places = torch.arange(window**2 * rows * columns, device=device).view(1, rows * columns, window**2, 1)
        places = swin_mp._unwindow(places, rows, columns)
        places = torch.roll(places, (self.shift, self.shift), (1, 2))[0, :h, :w, 0]
        bias = self.table[self.positions].permute(2, 0, 1) - 100 * (label[:, :, None] != label[:, None])[:, None]
        return tokens.flatten(), places.flatten(), bias.repeat(n, 1, 1, 1)


def make_quick(network):
    """Put fused modules in place of a network's own.

    Args:
        network: P3M-Net, in evaluation, whose batch norms are folded.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) in TWINS:
                setattr(module, name, TWINS[type(child)](child))
    if network.encoder.overlapping:
        network.unpool = max_unpool
    network.detail = OutputConvolution(network.detail)
    if isinstance(network.head, nn.Conv2d):
        network.semantic[0][-1], network.head = folded_head(network.semantic[0][-1], network.head)
    for module in list(network.modules()):
        if isinstance(module, (nn.ReLU, nn.SiLU)):
            module.inplace = True  # each follows a convolution, or a sum of its own
        if isinstance(module, Mlp):
            module.fc1, module.act = PackedLinear(module.fc1, gelu=True), nn.Identity()
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child))
            elif type(child) is nn.Conv2d:
                setattr(module, name, merged_groups(child))


TWINS = {DBFI: QuickDBFI, SBFI: QuickSBFI, Stem: QuickStem, swin_mp.Block: QuickBlock}
