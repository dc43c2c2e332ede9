"""How the restorer's experts become static graph operations.

A graph has no branch per image and no group count that follows the batch. What remains: one merged kernel per
convolution, computed from the gates of a single image; constant kernels in low-rank branches next to the
convolutions, which a batch of mixed gates can share; or, where the expert is known at export, its merged weights as
constants (`lorair_export.graph.plain`).
"""

import copy
from functools import partial
from typing import cast

import torch
from lorair_kernels import local_mean
from torch import Tensor, nn
from torch.func import functional_call

from lorair.model import ChannelAttention, ExpertConv2d, LayerNorm2d, LoRAIR, RestorationNet, spread_edges
from lorair_export.graph.low_rank import LowRankConv2d
from lorair_export.graph.modules import replace_modules
from lorair_export.spec import Lowering


class StaticAttention(nn.Module):
    """`ChannelAttention` without its branch on the map's size.

    Where a local window covers the map, there is one mean, and spreading its edges repeats it over the map.
    """

    def __init__(self, attention: ChannelAttention, local: bool) -> None:
        super().__init__()
        self.conv = attention.conv
        self.window = attention.window if local else None

    def forward(self, x: Tensor) -> Tensor:
        if self.window is None:
            return x * self.conv(x.mean((-2, -1), keepdim=True, dtype=torch.float32).to(x.dtype))
        height, width = x.shape[-2:]
        window = torch.sym_min(self.window, height), torch.sym_min(self.window, width)
        means = local_mean(x, cast("tuple[int, int]", window))
        return x * spread_edges(self.conv(means), (height, width))


class Float32Norm(nn.Module):
    """A layer norm in float32, of a map in any type: sums over channels lose too much in 16 bits."""

    def __init__(self, norm: LayerNorm2d) -> None:
        super().__init__()
        self.norm = norm.float()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.float()).to(x.dtype)


class MergedRestorer(nn.Module):
    """The restorer of one image: images [1, 3, H, W], prior [1, P], gates [1, E] -> restored, in [0, 1]."""

    def __init__(self, net: RestorationNet) -> None:
        super().__init__()
        self.net = net
        self.convs = {name: conv for name, conv in net.named_modules() if isinstance(conv, ExpertConv2d)}

    def forward(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        merged = {f"{name}.weight": conv.merged_weight(gates[0]) for name, conv in self.convs.items()}
        return functional_call(self.net, merged, (images, prior)).clamp(0, 1)


class LowRankRestorer(nn.Module):
    """The restorer of any batch: images [B, 3, H, W], prior [B, P], gates [B, E] -> restored, in [0, 1]."""

    def __init__(self, net: RestorationNet) -> None:
        super().__init__()
        self.net = net
        replace_modules(net, ExpertConv2d, LowRankConv2d)
        self.convs = [name for name, module in net.named_modules() if isinstance(module, LowRankConv2d)]

    def forward(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        swapped = {f"{name}.gates": gates for name in self.convs}
        return functional_call(self.net, swapped, (images, prior)).clamp(0, 1)


RESTORERS = {Lowering.MERGED: MergedRestorer, Lowering.LOW_RANK: LowRankRestorer}


def lowered_restorer(model: LoRAIR, lowering: Lowering, max_size: int, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A copy of the model's restorer that exports: (images, prior, gates) -> restored, in [0, 1].

    Args:
        model: stays as it is.
        lowering: see `Lowering`; any but plain.
        max_size: largest height and width; where the attention's window covers it, the mean is global.
        dtype: of the inputs, the output and all between, but for layer norms and means, in float32.
    """
    return in_precision(RESTORERS[lowering](static_net(model, max_size)), dtype).to(model.device)


def static_net(model: LoRAIR, max_size: int) -> RestorationNet:
    """A copy of the model's U-Net whose attention does not branch on the map's size."""
    net = copy.deepcopy(model.restorer.net).requires_grad_(False)
    window, multiple = model.config.restorer.local_window, model.config.restorer.size_multiple
    largest = -(-max_size // multiple) * multiple
    local = window is not None and window < largest
    replace_modules(net, ChannelAttention, partial(StaticAttention, local=local))
    return net


def in_precision(restorer: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The restorer itself in that type, its layer norms in float32."""
    restorer.to(dtype)
    if dtype is not torch.float32:
        replace_modules(restorer, LayerNorm2d, Float32Norm)
    return restorer
