"""Building blocks of the U-Net: layer norm, channel attention, NAFNet's block, modulation by the prior, a stage of
them.

Activations are [B, C, H, W] in channels_last memory: a pixel's channels are one row, which is what the layer
norm and the 1x1 convolutions want.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from lorair_kernels import local_mean
from torch import Tensor, nn

from lorair.model.experts import ExpertConv2d

Conv = Callable[..., ExpertConv2d]


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of [B, C, H, W], eps 1e-6."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def simple_gate(x: Tensor) -> Tensor:
    """Product of the two channel halves: [B, 2C, H, W] -> [B, C, H, W]."""
    u, v = x.chunk(2, dim=1)
    return u * v


class ChannelAttention(nn.Module):
    """Simplified channel attention: x times a 1x1 convolution of its mean.

    The mean is taken over a window of `window` pixels of this map, edge values repeated to full size (TLSC);
    over the whole map where the window covers it or is None.
    """

    def __init__(self, conv: Conv, channels: int, window: int | None) -> None:
        super().__init__()
        self.conv = conv(channels, channels, 1)
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.window is None or (self.window >= height and self.window >= width):
            return x * self.conv(x.mean((-2, -1), keepdim=True))
        means = local_mean(x, (min(self.window, height), min(self.window, width)))
        return x * spread_edges(self.conv(means), (height, width))


def spread_edges(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Repeat the edge rows and columns of [B, C, h, w] until the map has `size`, as much on both sides."""
    extra_h, extra_w = size[0] - x.shape[-2], size[1] - x.shape[-1]
    padding = (extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2)
    return F.pad(x, padding, mode="replicate")


class NAFBlock(nn.Module):
    """NAFNet's block (arXiv 2204.04676): a depthwise half and a feed-forward half, each with a scaled residual."""

    def __init__(self, conv: Conv, channels: int, window: int | None) -> None:
        super().__init__()
        c = channels
        self.norm1 = LayerNorm2d(c)
        self.conv1 = conv(c, 2 * c, 1)
        self.conv2 = conv(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.attention = ChannelAttention(conv, c, window)
        self.conv3 = conv(c, c, 1)
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.norm2 = LayerNorm2d(c)
        self.conv4 = conv(c, 2 * c, 1)
        self.conv5 = conv(c, c, 1)
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = simple_gate(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.beta * self.conv3(self.attention(y))
        y = simple_gate(self.conv4(self.norm2(x)))
        return x + self.gamma * self.conv5(y)


class Modulation(nn.Module):
    """Degradation-aware modulation: x + beta * (LN(x) * s), s = sigmoid(W4 relu(W3 W2 gelu(W1 e))) (LoRA-IR)."""

    def __init__(self, conv: Conv, prior_dim: int, hidden: int, channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.conv1 = conv(prior_dim, hidden, 1)
        self.conv2 = conv(hidden, channels, 1)
        self.conv3 = conv(channels, channels // 16, 1)
        self.conv4 = conv(channels // 16, channels, 1)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        return x + self.beta * (self.norm(x) * self.strength(prior))

    def strength(self, prior: Tensor) -> Tensor:
        """s of the embedded priors [B, P, 1, 1]: [B, C, 1, 1], in (0, 1)."""
        s = self.conv2(F.gelu(self.conv1(prior)))
        return torch.sigmoid(self.conv4(F.relu(self.conv3(s))))


class Stage(nn.Module):
    """Blocks at one resolution, after a modulation where there is one."""

    def __init__(self, blocks: list[NAFBlock], modulation: Modulation | None) -> None:
        super().__init__()
        self.modulation = modulation
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        if self.modulation is not None:
            x = self.modulation(x, prior)
        return self.blocks(x)
