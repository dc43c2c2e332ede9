"""Gradients of weight sets."""

import torch
from torch import Tensor


def grouped_sum(values: Tensor, index: Tensor, sets: int) -> Tensor:
    """The sum of `values` [B, ...] over the images of each set: [sets, ...], zeros for a set without an image."""
    member = index == torch.arange(sets, device=index.device)[:, None]
    return torch.einsum("ub,bn->un", member.to(values.dtype), values.flatten(1)).view(sets, *values.shape[1:])


def grouped_weight_grad(x: Tensor, dy: Tensor, index: Tensor, sets: int) -> Tensor:
    """The gradient of a 1x1 convolution's weight sets, `dW_u = sum over images b of set u of dy_b^T x_b`.

    Args:
        x: `[B, H, W, K]`, what the convolution read.
        dy: `[B, H, W, N]`, the gradient of what it wrote.
        index: `[B]` integers, the weight set of each image.
        sets: U, how many sets there are.

    Returns:
        `[U, N, K]` in float32 or x's wider dtype, zeros for a set without an image.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return grouped_sum(torch.einsum("bhwn,bhwk->bnk", dy.to(wide), x.to(wide)), index, sets)
