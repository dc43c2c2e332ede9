"""Low-rank experts on convolutions: W_eff = W + scale * sum_e gates[e] * view(B_e A_e)."""

import math

import torch
from lorair_kernels import merge_experts
from torch import Tensor, nn


class ExpertConv2d(nn.Conv2d):
    """A convolution whose weight carries E low-rank experts.

    Called, it is the plain convolution with `weight`. The experts act through `merged_weight`, which
    the caller puts in the weight's place (see `lorair.model.restorer.Restorer`): one formula for every batch
    size and mode, at the cost of one small matrix product per distinct gate vector.

    The factors are `a` [E, r*k, cin*k], Kaiming-uniform at start, and `b` [E, (cout/groups)*k, r*k], zero
    at start, where cin is the convolution's whole input width, also for a depthwise one; the bias has no experts.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        experts: int,
        rank: int,
        scale: float,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=bias)
        k = kernel_size
        self.scale = scale
        self.a = nn.Parameter(torch.empty(experts, rank * k, in_channels * k))
        self.b = nn.Parameter(torch.zeros(experts, out_channels // groups * k, rank * k))
        bound = 1 / math.sqrt(in_channels * k)
        nn.init.uniform_(self.a, -bound, bound)

    def merged_weight(self, gates: Tensor) -> Tensor:
        """The weight with the experts of one gate vector `[E]` merged in, shaped as `weight`."""
        return merge_experts(self.weight, self.a, self.b, gates, self.scale)


def gates_from_logits(gate_logits: Tensor, top_k: int) -> Tensor:
    """Keep the `top_k` largest logits of each row, softmax over those, zero elsewhere.

    Args:
        gate_logits: `[B, E]`, the router's output.
        top_k: 1..E; with 1 the gate is exactly 1.

    Returns:
        `gates` `[B, E]`, rows summing to 1.
    """
    values, indices = gate_logits.topk(top_k, dim=-1)
    kept = torch.nn.functional.one_hot(indices, gate_logits.shape[-1]).to(gate_logits.dtype)
    return (values.softmax(dim=-1).unsqueeze(-1) * kept).sum(dim=1)
