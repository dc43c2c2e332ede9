"""Experts as constant kernels in low-rank branches next to a convolution, which a batch of mixed gates shares."""

from typing import NamedTuple

import torch
from lorair_kernels import expert_delta
from torch import Tensor, nn

from lorair.model import ExpertConv2d
from lorair_export.graph.modules import plain_conv2d


class Branch(NamedTuple):
    """Constant kernels that add experts to a convolution: `up(gates[expert_of] * down(x))`.

    `down` [hidden, cin/down_groups, k, k] has the convolution's own stride and padding, `up` is 1x1;
    `expert_of` [hidden] says whose gate a hidden channel takes.
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
    `down` applies A to each of the k parts of the channels, and `up` gathers them with those k rows of B.
    """
    experts, hidden, _ = conv.a.shape
    k, cin, cout = conv.kernel_size[0], conv.in_channels, conv.out_channels
    down = conv.a.reshape(experts * hidden, cin // k, k, k).repeat(k, 1, 1, 1)
    up = conv.b.reshape(experts, cout, k, hidden).permute(1, 2, 0, 3).reshape(cout, -1, 1, 1)
    expert_of = torch.arange(experts).repeat_interleave(hidden).repeat(k)
    return Branch(down, k, expert_of, conv.scale * up, 1)


def delta_branch(conv: ExpertConv2d) -> Branch:
    """Every expert's full kernel, for any convolution: `down` has E results per output, `up` adds those."""
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
    """An `ExpertConv2d` with constant kernels: base(x) + up(gates * down(x)), see `Branch`.

    `gates` [B, E] is a buffer that the caller swaps in with every call; x is [B, cin, H, W].
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
