"""merge_experts for many convolutions in one launch, and its gradients."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from lorair_kernels.backend import GradContext, device_of, runs_triton
from lorair_kernels.launch import GRAD_A, GRAD_B, MERGE, MergeTile, tile_for
from lorair_kernels.reference import factor_shapes
from lorair_kernels.reference import merge_packed as reference_merge_packed
from lorair_kernels.reference import merge_packed_backward as reference_merge_packed_backward


@torch.library.custom_op("lorair::merge_experts", mutates_args=())
def merge_packed(
    weights: Tensor, a: Tensor, b: Tensor, gates: Tensor, shapes: list[int], scale: float, dtype: torch.dtype
) -> Tensor:
    """The effective weights of many convolutions for many gate vectors, `W + scale * sum_e g_e B_e A_e`.

    Differentiable in weights, a, b and gates. The arguments are those of `lorair_kernels.reference.merge_packed`,
    floating and contiguous; the result is `[U, P]` of `dtype`.
    """
    if not runs_triton(weights):
        return reference_merge_packed(weights, a, b, gates, shapes, scale).to(dtype)
    from lorair_kernels.merge_triton import merge_kernel

    sets, experts = gates.shape
    tile = tile_for(MERGE, weights)
    out = torch.empty(sets, weights.numel(), dtype=dtype, device=weights.device)
    table = tile_table(tuple(shapes), experts, ("rows", "columns"), tile, weights.device)
    with device_of(weights):
        merge_kernel[(sets * len(table),)](
            weights.contiguous(), a.contiguous(), b.contiguous(), gates.contiguous(), table, out, scale, out.shape[1],
            sets, **tile.arguments(EXPERTS=experts),
        )  # fmt: skip
    return out


@merge_packed.register_fake
def _(
    weights: Tensor, a: Tensor, b: Tensor, gates: Tensor, shapes: list[int], scale: float, dtype: torch.dtype
) -> Tensor:
    return weights.new_empty((gates.shape[0], weights.shape[0]), dtype=dtype)


@torch.library.custom_op("lorair::merge_experts_backward", mutates_args=())
def merge_packed_backward(
    grad: Tensor, a: Tensor, b: Tensor, gates: Tensor, shapes: list[int], scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `merge_packed` in a, b and gates, from `grad` [U, P]."""
    if not runs_triton(grad):
        return reference_merge_packed_backward(grad, a, b, gates, shapes, scale)
    from lorair_kernels.merge_triton import merge_grad_a_kernel, merge_grad_b_kernel

    grad, a, b, gates = grad.contiguous(), a.contiguous(), b.contiguous(), gates.contiguous()
    sets, experts = gates.shape
    grad_a, grad_b = torch.empty_like(a), torch.empty_like(b)
    tile_a, tile_b = tile_for(GRAD_A, grad), tile_for(GRAD_B, grad)
    table_a = tile_table(tuple(shapes), experts, ("rank", "columns"), tile_a, grad.device)
    table_b = tile_table(tuple(shapes), experts, ("rows", "rank"), tile_b, grad.device)
    partial = torch.empty(len(table_b), sets, experts, dtype=torch.float32, device=grad.device)
    with device_of(grad):
        merge_grad_a_kernel[(experts * len(table_a),)](
            grad, b, gates, table_a, grad_a, scale, grad.shape[1], sets, **tile_a.arguments(EXPERTS=experts)
        )
        merge_grad_b_kernel[(experts * len(table_b),)](
            grad, a, b, gates, table_b, grad_b, partial, scale, grad.shape[1], sets,
            **tile_b.arguments(EXPERTS=experts),
        )  # fmt: skip
    return grad_a, grad_b, partial.sum(0).to(gates.dtype)


@merge_packed_backward.register_fake
def _(
    grad: Tensor, a: Tensor, b: Tensor, gates: Tensor, shapes: list[int], scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(a), torch.empty_like(b), torch.empty_like(gates)


def _save(ctx: GradContext, inputs: tuple[Any, ...], output: Tensor) -> None:
    weights, a, b, gates, ctx.shapes, ctx.scale, _ = inputs
    ctx.save_for_backward(a, b, gates)
    ctx.weights_dtype = weights.dtype


def _backward(ctx: GradContext, grad: Tensor) -> tuple[Tensor | None, ...]:
    grad_weights = grad.sum(0, dtype=ctx.weights_dtype) if ctx.needs_input_grad[0] else None
    grads: tuple[Tensor | None, ...] = (None, None, None)
    if any(ctx.needs_input_grad[1:4]):
        grads = merge_packed_backward(grad, *ctx.saved_tensors, ctx.shapes, ctx.scale)
    return grad_weights, *grads, None, None, None


merge_packed.register_autograd(_backward, setup_context=_save)


@cache
def tile_table(
    shapes: tuple[int, ...], experts: int, axes: tuple[str, str], tile: MergeTile, device: torch.device
) -> Tensor:
    """The int64 rows `(weight_at, a_at, b_at, rows, columns, rank, first, second)` that the kernels read.

    One row for each tile along the two `axes` of each convolution. Built once and kept, so that a CUDA graph can
    hold it.
    """
    table: list[tuple[int, ...]] = []
    weight_at = a_at = b_at = 0
    for rows, columns, rank in factor_shapes(shapes):
        lengths = {"rows": (rows, tile.rows), "columns": (columns, tile.columns), "rank": (rank, tile.rank)}
        (first_length, first_step), (second_length, second_step) = lengths[axes[0]], lengths[axes[1]]
        table += [
            (weight_at, a_at, b_at, rows, columns, rank, first, second)
            for first in range(0, first_length, first_step)
            for second in range(0, second_length, second_step)
        ]
        weight_at, a_at = weight_at + rows * columns, a_at + experts * rank * columns
        b_at += experts * rows * rank
    return torch.tensor(table, dtype=torch.int64).to(device)
