"""ViTAE-S with max-pooling between its stages: the encoder of P3M-Net (ViTAE-S), Sec. 4.2.3."""

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import nn

from p3mlib.models.p3mnet.features import Stem, TokenEncoder, narrowed

DEPTHS = (2, 2, 12, 2)
SEED = 0  # of the performer's random features


class Attention(nn.Module):
    """Multi-head attention between all tokens.

    Args:
        channels: C. heads: divides C.
    """

    fused = True  # scaled_dot_product_attention; False computes it step by step

    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x):
        """(N, L, C) -> (N, L, C)."""
        n, tokens, c = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            x = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(n, tokens, c))


class PerformerAttention(nn.Module):
    """Linear attention of one head by C / 2 random features, for the first stage where tokens are many.

    The features are rows of a random orthonormal matrix, scaled. The official code draws them anew at every construction
    and never saves them, so its checkpoints come without; here they are a buffer, drawn from a fixed seed.

    Args:
        channels: C.
    """

    def __init__(self, channels):
        super().__init__()
        self.kqv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        draw = torch.randn(channels, channels // 2, generator=torch.Generator().manual_seed(SEED), device="cpu")
        self.register_buffer("features", torch.linalg.qr(draw).Q.T.contiguous() * (channels // 2) ** 0.5)

    def _map(self, z):
        exponent = z @ self.features.T - z.square().sum(-1, keepdim=True) / 2
        return torch.exp(exponent) / len(self.features) ** 0.5

    def forward(self, x):
        """(N, L, C) -> (N, L, C)."""
        kqv = self.kqv(x)
        k, q, v = kqv.to(torch.promote_types(kqv.dtype, torch.float32)).chunk(3, -1)  # half precision is not enough
        k, q = self._map(k), self._map(q)
        norm = q @ k.sum(1)[..., None]
        y = q @ (k.transpose(1, 2) @ v) / (norm + 1e-8)
        return self.proj(y.to(x.dtype))


class Cell(nn.Module):
    """Normal cell: attention and a stack of convolutions see the same tokens side by side, then an MLP.

    The convolutions take the tokens before the norm, as the official code does.

    Args:
        channels: C. attention: module on (N, L, C). groups: of the convolutions.
    """

    def __init__(self, channels, attention, groups):
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = attention
        self.pcm = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 3, padding=1, groups=groups),
            nn.BatchNorm2d(4 * channels),
            nn.SiLU(),
            nn.Conv2d(4 * channels, channels, 3, padding=1, groups=groups),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=groups),
            nn.SiLU(),
        )
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = Mlp(channels, 4 * channels)

    def forward(self, x):
        """(N, h, w, C) -> (N, h, w, C)."""
        attended = self.attn(self.norm1(x).flatten(1, 2)).view(x.shape)
        x = x + attended + self.pcm(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.mlp(self.norm2(x))


def vitae_s(width=1.0):
    """ViTAE-S encoder; `width` multiplies channels (64, 128, 256, 512) and heads (1, 2, 4, 8)."""
    c = max(8, 4 * round(16 * width))
    stages = [nn.Sequential(*(Cell(c, PerformerAttention(c), 1) for _ in range(DEPTHS[0])))]
    for i in (1, 2, 3):
        channels = c * 2**i
        cells = (Cell(channels, Attention(channels, narrowed(2**i, width, channels)), channels // 4) for _ in range(DEPTHS[i]))
        stages.append(nn.Sequential(*cells))
    # Never used: an ImageNet classifier, and the norms inside the two performer attentions.
    uncounted = 1000 * 8 * c + 1000 + DEPTHS[0] * 2 * c
    return TokenEncoder(Stem(c // 2, nn.Identity()), stages, c, nn.Identity(), uncounted)
