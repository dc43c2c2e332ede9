"""The 1x1 convolution with low-rank experts, NHWC."""

import torch
from torch import Tensor


def gated_lowrank(
    x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, index: Tensor, gates: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """A 1x1 convolution with low-rank experts, `x W^T + bias + scale * sum_j g_j (x A_j^T) B_j^T`.

    Args:
        x: `[B, H, W, K]`.
        weight: `[N, K]`, bias `[N]`.
        a, b: `[E, R, K]` and `[E, N, R]`, the experts' factors.
        index: `[B, k]` integers, the active experts of each image.
        gates: `[B, k]`, their gates.
        scale: alpha / rank.

    Returns:
        y `[B, H, W, N]` with x's dtype, and `x A^T` of the active experts in turn, `[B, H, W, k*R]` in float32
        or x's wider dtype.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    chosen = index.long()
    down = torch.einsum("bhwc,bjrc->bhwjr", x.to(wide), a[chosen].to(wide))
    low = torch.einsum("bhwjr,bj,bjnr->bhwn", down, gates.to(wide), b[chosen].to(wide))
    y = x.to(wide) @ weight.to(wide).T + bias.to(wide) + scale * low
    return y.to(x.dtype), down.flatten(3)
