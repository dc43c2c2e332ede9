"""The restorer: a NAFNet-shaped U-Net steered by the degradation prior, its convolutions carrying experts.

Activations are [B, C, H, W] in channels_last memory: a pixel's channels are one row, which is what the layer
norm and the 1x1 convolutions want.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
import torch.nn.functional as F
from lorair_kernels import local_mean, runs_triton
from torch import Tensor, nn
from torch.func import functional_call

from lorair.config import RestorerConfig
from lorair.experts import ExpertConv2d

if TYPE_CHECKING:
    from lorair.fused import FusedRestorer

Backend = Literal["auto", "triton", "torch"]
Conv = Callable[..., ExpertConv2d]

# Above this many activation numbers per image (channels x pixels at full resolution, measured on CPUs) a batch
# leaves the caches, and images run faster one after the other.
CPU_CHUNK = 64 * 256 * 256


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

    The mean is taken over a window of ``window`` pixels of this map, edge values repeated to full size (TLSC);
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
    """Repeat the edge rows and columns of [B, C, h, w] until the map has ``size``, as much on both sides."""
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


class RestorationNet(nn.Module):
    """The plain U-Net: images [B, 3, H, W] and prior [B, P] -> restored [B, 3, H, W], with the weights it holds."""

    def __init__(self, config: RestorerConfig, prior_dim: int, experts: int) -> None:
        super().__init__()
        conv: Conv = partial(ExpertConv2d, experts=experts, rank=config.rank, scale=config.scale)
        levels = len(config.encoder_blocks)
        channels = [config.width * 2**level for level in range(levels + 1)]

        def stage(level: int, blocks: int, modulated: bool) -> Stage:
            window = None if config.local_window is None else max(1, config.local_window // 2**level)
            c = channels[level]
            modulation = Modulation(conv, prior_dim, config.modulation_width, c) if modulated else None
            return Stage([NAFBlock(conv, c, window) for _ in range(blocks)], modulation)

        self.size_multiple = config.size_multiple
        self.intro = conv(3, config.width, 3, padding=1)
        self.prior_head = nn.Sequential(
            conv(prior_dim, prior_dim, 1), nn.GELU(), conv(prior_dim, prior_dim, 1), nn.GELU()
        )
        self.encoders = nn.ModuleList(stage(i, n, True) for i, n in enumerate(config.encoder_blocks))
        self.downs = nn.ModuleList(conv(c, 2 * c, 2, stride=2) for c in channels[:-1])
        self.middle = stage(levels, config.middle_blocks, True)
        self.ups = nn.ModuleList(conv(c, 2 * c, 1, bias=False) for c in channels[:0:-1])
        self.decoders = nn.ModuleList(
            stage(levels - 1 - i, n, config.decoder_modulation) for i, n in enumerate(config.decoder_blocks)
        )
        self.ending = conv(config.width, 3, 3, padding=1)

    def forward(self, images: Tensor, prior: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        m = self.size_multiple
        padded = F.pad(images, (0, (width + m - 1) // m * m - width, 0, (height + m - 1) // m * m - height))
        prior = self.prior_head(prior[:, :, None, None])
        x = self.intro(padded.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x, prior)
            skips.append(x)
            x = down(x)
        x = self.middle(x, prior)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = F.pixel_shuffle(up(x), 2) + skips.pop()
            x = decoder(x, prior)
        return (self.ending(x) + padded)[..., :height, :width]


class Restorer(nn.Module):
    """The U-Net with its experts: every image is restored by the weights that its gates merge.

    ``top_k`` promises how many gates of an image are not zero, None promises nothing. ``backend`` says what computes:
    ``"triton"`` the fused kernels of :mod:`lorair_kernels`, a mixed batch at once; ``"torch"`` torch; ``"auto"`` torch
    too, until the kernels have been measured on a GPU.

    By torch, images with equal gates share one merged weight set, so a mixed batch costs what the plain network costs.
    Without gradients what was merged is kept for the next call, by torch at most ``cache_size`` sets, until a parameter
    changes (written through ``.data``, a change goes unseen: call :meth:`forget`).
    """

    def __init__(
        self,
        config: RestorerConfig,
        prior_dim: int,
        experts: int,
        top_k: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        if backend not in get_args(Backend):
            raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}; got {backend!r}")
        self.backend = backend
        self.net = RestorationNet(config, prior_dim, experts)
        self.width = config.width
        self.top_k = top_k
        self.cache_size = experts
        self._merged: OrderedDict[tuple[float, ...], dict[str, Tensor]] = OrderedDict()
        self._merged_from: tuple[tuple[int, int], ...] = ()
        self._fused: FusedRestorer | None = None

    def forward(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        """Restore images by their priors and gates; zero gates restore without experts.

        Args:
            images: ``[B, 3, H, W]`` floating, in [0, 1], any H and W.
            prior: ``[B, P]``.
            gates: ``[B, E]``; rows may differ, a row of zeros leaves the experts out.

        Returns:
            ``[B, 3, H, W]``, not clamped.
        """
        if self._runs_fused(images):
            self._forget_if_changed()
            return self._fused_restorer()(images, prior, gates)
        parts: list[Tensor] = []
        order: list[int] = []
        for members in self._groups(gates, images):
            weights = self.merged_weights(gates[members[0]])
            parts.append(functional_call(self.net, weights, (images[members], prior[members])))
            order += members
        if order == sorted(order):
            return torch.cat(parts) if len(parts) > 1 else parts[0]
        return torch.cat(parts)[torch.tensor(order, device=images.device).argsort()]

    def merged_weights(self, gates: Tensor) -> dict[str, Tensor]:
        """The U-Net's convolution weights, by parameter name, with the experts of one gate vector [E] merged in."""
        if torch.is_grad_enabled():
            return self._merge(gates)
        self._forget_if_changed()
        key = tuple(gates.tolist())
        if key not in self._merged:
            self._merged[key] = self._merge(gates)
            if len(self._merged) > self.cache_size:
                self._merged.popitem(last=False)
        self._merged.move_to_end(key)
        return self._merged[key]

    def forget(self) -> None:
        """Drop the merged weights that are kept."""
        self._merged.clear()
        if self._fused is not None:
            self._fused.forget()

    def __getstate__(self) -> dict[str, Any]:
        """A copy of the module starts with nothing merged."""
        return {**self.__dict__, "_merged": OrderedDict(), "_merged_from": (), "_fused": None}

    def extra_repr(self) -> str:
        return f"backend={self.backend!r}"

    def _forget_if_changed(self) -> None:
        source = tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in self.net.parameters())
        if source != self._merged_from:
            self.forget()
            self._merged_from = source

    def _runs_fused(self, images: Tensor) -> bool:
        if self.backend == "triton" and not runs_triton(images):
            raise ValueError(
                f"backend 'triton' needs the triton package and an NVIDIA GPU of compute capability 8.0 or above; "
                f"got images of {images.dtype} on {images.device} (backend 'auto' takes torch there)"
            )
        return self.backend == "triton"  # "auto" takes the kernels once they have been measured on a GPU

    def _fused_restorer(self) -> "FusedRestorer":
        from lorair.fused import FusedRestorer

        self._fused = self._fused or FusedRestorer(self.net, one_hot=self.top_k == 1)
        return self._fused

    def _merge(self, gates: Tensor) -> dict[str, Tensor]:
        return {
            f"{name}.weight": conv.merged_weight(gates).contiguous(memory_format=torch.channels_last)
            for name, conv in self.net.named_modules()
            if isinstance(conv, ExpertConv2d)
        }

    def _groups(self, gates: Tensor, images: Tensor) -> list[list[int]]:
        """Rows that run together: equal gates (each its own where gates are learnt), as many as run fast."""
        rows: dict[object, list[int]] = {}
        for index, row in enumerate(gates.tolist()):
            rows.setdefault(index if gates.requires_grad else tuple(row), []).append(index)
        height, width = images.shape[-2:]
        size = max(1, CPU_CHUNK // (self.width * height * width)) if images.device.type == "cpu" else len(images)
        return [members[i : i + size] for members in rows.values() for i in range(0, len(members), size)]
