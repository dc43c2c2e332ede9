"""The gated sum of low-rank experts, of one convolution and of all convolutions packed together."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


def expert_delta(a: Tensor, b: Tensor, gates: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum of the gated experts, `sum_e gates[e] * view(b[e] @ a[e], shape)` (LoRA-IR, arXiv 2410.15385).

    Written as one product of the rank-stacked factors, so that the experts cost one matrix product and an
    exporter cannot fold them into full-size copies of the weight.

    Args:
        a: `[E, r*k, cin*k]`, down-projections of E experts of rank r for a k x k convolution.
        b: `[E, (cout/groups)*k, r*k]`, up-projections.
        gates: `[E]`, one gate per expert.
        shape: the convolution weight's shape, `[cout, cin/groups, k, k]`; the product is viewed row-major.

    Returns:
        The delta with the given shape and the factors' dtype.
    """
    stacked_a = a.flatten(0, 1)
    stacked_b = (b * gates.to(b.dtype)[:, None, None]).transpose(0, 1).flatten(1)
    return (stacked_b @ stacked_a).reshape(tuple(shape))


def merge_experts(weight: Tensor, a: Tensor, b: Tensor, gates: Tensor, scale: float) -> Tensor:
    """One image's effective weight, `weight + scale * expert_delta`, with the weight's shape and dtype.

    Args:
        weight: `[cout, cin/groups, k, k]`.
        a, b, gates: as in `expert_delta`.
        scale: alpha / rank, 2 in the published models.
    """
    return torch.add(weight, expert_delta(a, b, gates, weight.shape), alpha=scale)


def factor_shapes(shapes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """`(rows, columns, rank)` of each convolution, where `b` is [E, rows, rank] and `a` is [E, rank, columns]."""
    return zip(shapes[::3], shapes[1::3], shapes[2::3], strict=True)


def merge_packed(weights: Tensor, a: Tensor, b: Tensor, gates: Tensor, shapes: Sequence[int], scale: float) -> Tensor:
    """The effective weights of many convolutions for many gate vectors, every tensor packed into one row.

    The published view is row-major for every kind of convolution, so a weight of `[cout, cin/groups, k, k]` is,
    number for number, the matrix of `rows = cout/groups*k` and `columns = cin*k` that its factors span.

    Args:
        weights: `[P]`, all convolution weights, flat, one after the other.
        a, b: `[PA]` and `[PB]`, their factors `[E, rank, columns]` and `[E, rows, rank]` likewise.
        gates: `[U, E]`, one row per distinct gate vector.
        shapes: `rows, columns, rank` of each convolution in turn.
        scale: alpha / rank.

    Returns:
        `[U, P]` with the dtype of the weights.
    """
    merged: list[Tensor] = []
    for weight, down, up in unpack(weights, a, b, shapes, gates.shape[1]):
        deltas = torch.einsum("ue,erk,ekc->urc", gates.to(a.dtype), up, down)
        merged.append((weight + scale * deltas).to(weights.dtype).flatten(1))
    return torch.cat(merged, dim=1)


def merge_packed_backward(
    grad: Tensor, a: Tensor, b: Tensor, gates: Tensor, shapes: Sequence[int], scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `merge_packed` in a, b and gates, where `grad` is [U, P].

    `dA_e = s sum_u g_ue B_e^T dW_u`, `dB_e = s sum_u g_ue dW_u A_e^T`, `dg_ue = s <dW_u, B_e A_e>`.
    """
    wide = gates.to(a.dtype)
    grads_a: list[Tensor] = []
    grads_b: list[Tensor] = []
    grad_gates = torch.zeros_like(wide)
    for rows, down, up in unpack(grad, a, b, shapes, gates.shape[1]):
        grads_a.append(scale * torch.einsum("ue,erk,urc->ekc", wide, up, rows.to(a.dtype)).flatten())
        grads_b.append(scale * torch.einsum("ue,urc,ekc->erk", wide, rows.to(a.dtype), down).flatten())
        grad_gates += scale * torch.einsum("urc,erk,ekc->ue", rows.to(a.dtype), up, down)
    return torch.cat(grads_a), torch.cat(grads_b), grad_gates.to(gates.dtype)


def unpack(
    weights: Tensor, a: Tensor, b: Tensor, shapes: Sequence[int], experts: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """`(weight [..., rows, columns], a [E, rank, columns], b [E, rows, rank])` of each packed convolution."""
    weight_at = a_at = b_at = 0
    for rows, columns, rank in factor_shapes(shapes):
        weight = weights.narrow(-1, weight_at, rows * columns).unflatten(-1, (rows, columns))
        down = a.narrow(0, a_at, experts * rank * columns).view(experts, rank, columns)
        up = b.narrow(0, b_at, experts * rows * rank).view(experts, rows, rank)
        weight_at, a_at, b_at = weight_at + rows * columns, a_at + down.numel(), b_at + up.numel()
        yield weight, down, up
