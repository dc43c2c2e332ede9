"""How the restorer's experts become static graph operations.

A graph has no branch per image and no group count that follows the batch. What remains: one merged kernel per
convolution, computed from the gates of a single image; constant kernels in low-rank branches next to the
convolutions, which a batch of mixed gates can share; or, where the expert is known at export, its merged weights as
constants (:mod:`lorair_export.graph.plain`).
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar, cast

import torch
from lorair_kernels import expert_delta, local_mean
from torch import Tensor, nn
from torch.func import functional_call

from lorair.model import ChannelAttention, ExpertConv2d, LayerNorm2d, LoRAIR, RestorationNet, spread_edges
from lorair_export.spec import Lowering

M = TypeVar("M", bound=nn.Module)


class Branch(NamedTuple):
    """Constant kernels that add experts to a convolution: ``up(gates[expert_of] * down(x))``.

    ``down`` [hidden, cin/down_groups, k, k] has the convolution's own stride and padding, ``up`` is 1x1;
    ``expert_of`` [hidden] says whose gate a hidden channel takes.
    """

    down: Tensor
    down_groups: int
    expert_of: Tensor
    up: Tensor
    up_groups: int

    @property
    def multiplications(self) -> int:
        """Per output pixel."""
        return self.down.numel() + self.up.numel()


def factor_branch(conv: ExpertConv2d) -> Branch:
    """The factors themselves, for an ungrouped convolution whose input channels divide by its kernel size k.

    Row-major, rows o*k to o*k+k-1 of B A are output o's kernel, each row cin/k input channels of it. So
    ``down`` applies A to each of the k parts of the channels, and ``up`` gathers them with those k rows of B.
    """
    experts, hidden, _ = conv.a.shape
    k, cin, cout = conv.kernel_size[0], conv.in_channels, conv.out_channels
    down = conv.a.reshape(experts * hidden, cin // k, k, k).repeat(k, 1, 1, 1)
    up = conv.b.reshape(experts, cout, k, hidden).permute(1, 2, 0, 3).reshape(cout, -1, 1, 1)
    expert_of = torch.arange(experts).repeat_interleave(hidden).repeat(k)
    return Branch(down, k, expert_of, conv.scale * up, 1)


def delta_branch(conv: ExpertConv2d) -> Branch:
    """Every expert's full kernel, for any convolution: ``down`` has E results per output, ``up`` adds those."""
    experts, cout = len(conv.a), conv.out_channels
    own = torch.eye(experts, dtype=conv.a.dtype, device=conv.a.device)
    deltas = torch.stack([expert_delta(conv.a, conv.b, gates, conv.weight.shape) for gates in own], dim=1)
    up = deltas.new_full((cout, experts, 1, 1), conv.scale)
    return Branch(deltas.flatten(0, 1), conv.groups, torch.arange(experts).repeat(cout), up, cout)


def cheaper_branch(conv: ExpertConv2d) -> Branch:
    """The branch with fewer multiplications of the two that give the same result."""
    branches = [delta_branch(conv)]
    if conv.groups == 1 and conv.in_channels % conv.kernel_size[0] == 0:
        branches.append(factor_branch(conv))
    return min(branches, key=lambda branch: branch.multiplications)


class LowRankConv2d(nn.Module):
    """An :class:`ExpertConv2d` with constant kernels: base(x) + up(gates * down(x)), see :class:`Branch`.

    ``gates`` [B, E] is a buffer that the caller swaps in with every call; x is [B, cin, H, W].
    """

    gates: Tensor
    expert_of: Tensor

    def __init__(self, conv: ExpertConv2d) -> None:
        super().__init__()
        branch = cheaper_branch(conv)
        stride, padding = conv.stride[0], int(conv.padding[0])
        self.base = plain_conv2d(conv.weight, conv.groups, stride, padding)
        self.base.bias = conv.bias
        self.down = plain_conv2d(branch.down, branch.down_groups, stride, padding)
        self.up = plain_conv2d(branch.up, branch.up_groups)
        self.register_buffer("expert_of", branch.expert_of)
        self.register_buffer("gates", torch.zeros(1, len(conv.a)))

    def forward(self, x: Tensor) -> Tensor:
        gates = self.gates.index_select(1, self.expert_of)[:, :, None, None]
        return self.base(x) + self.up(gates * self.down(x))


class StaticAttention(nn.Module):
    """:class:`ChannelAttention` without its branch on the map's size.

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
        lowering: see :class:`Lowering`; any but plain.
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


def replace_modules(module: nn.Module, kind: type[M], make: Callable[[M], nn.Module]) -> None:
    """Put what ``make`` makes in the place of every module of that kind, below ``module``."""
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            replace_modules(child, kind, make)


def plain_conv2d(weight: Tensor, groups: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A convolution with that kernel and no bias."""
    out_channels, in_channels, k, _ = weight.shape
    with torch.device("meta"):
        conv = nn.Conv2d(in_channels * groups, out_channels, k, stride, padding, groups=groups, bias=False)
    conv.weight = nn.Parameter(weight, requires_grad=False)
    return conv
