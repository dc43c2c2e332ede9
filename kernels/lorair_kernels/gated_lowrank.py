"""The 1x1 convolution whose low-rank experts share its main loop, NHWC: no merged weight is formed."""

from typing import Any

import torch
from torch import Tensor

from lorair_kernels.backend import GradContext, device_of, runs_triton
from lorair_kernels.grouped_weight_grad import grouped_weight_grad
from lorair_kernels.launch import GATED_LOWRANK, cdiv, find_tile
from lorair_kernels.pointwise import pointwise
from lorair_kernels.reference import gated_lowrank as reference_gated_lowrank


@torch.library.custom_op("lorair::gated_lowrank", mutates_args=())
def gated_lowrank(
    x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, index: Tensor, gates: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """A 1x1 convolution with each image's own experts, `x W^T + bias + scale * sum_j g_j (x A_j^T) B_j^T`.

    Differentiable in x, weight, bias, a, b and gates; a frozen weight costs no product. One launch up to 64 active
    ranks, `k*R`; more are merged into a weight for each image.

    Args:
        x: `[B, H, W, K]`.
        weight: `[N, K]` with x's dtype.
        bias: `[N]` float32.
        a: `[E, R, K]` with x's dtype, the down-projections of E experts.
        b: `[E, N, R]` with x's dtype, the up-projections.
        index: `[B, k]` int32, the active experts of each image.
        gates: `[B, k]` float32, their gates.
        scale: alpha / rank.

    Returns:
        y `[B, H, W, N]` with x's dtype, and `x A^T` of the active experts in turn, `[B, H, W, k*R]`. That is kept
        for the gradients, which do not pass through it, in float32: it is small compared with x, float16 could overflow
        before the gate, and the gates' gradients sum it over every pixel.

    Raises:
        ValueError: if weight, a or b do not fit x or each other, index is not int32 or gates not float32.
    """
    batch, height, width, channels = x.shape
    outputs, (experts, rank), active = weight.shape[0], a.shape[:2], index.shape[1]
    fits = weight.shape[1] == a.shape[2] == channels and b.shape == (experts, outputs, rank)
    if not fits or {weight.dtype, a.dtype, b.dtype} != {x.dtype}:
        raise ValueError(
            f"weight must be [N, {channels}], a [E, R, {channels}] and b [E, N, R], all of {x.dtype}, for x "
            f"{tuple(x.shape)}; got {', '.join(f'{tuple(t.shape)} of {t.dtype}' for t in (weight, a, b))}"
        )
    if (index.dtype, gates.dtype) != (torch.int32, torch.float32) or not index.shape == gates.shape == (batch, active):
        raise ValueError(
            f"index must be [{batch}, k] int32 and gates [{batch}, k] float32; got {tuple(index.shape)} of "
            f"{index.dtype} and {tuple(gates.shape)} of {gates.dtype}"
        )
    if not runs_triton(x):
        y, down = reference_gated_lowrank(x, weight, bias, a, b, index, gates, scale)
        return y, down.float()
    tile = find_tile(GATED_LOWRANK, x, tokens=height * width, channels=channels, ranks=active * rank)
    if tile is None:
        return merged_lowrank(x, weight, bias, a, b, index, gates, scale)
    from lorair_kernels.gated_lowrank_triton import gated_lowrank_kernel

    y = x.new_empty(batch, height, width, outputs)
    down = x.new_empty(batch, height, width, active * rank, dtype=torch.float32)
    programs = cdiv(height * width, tile.tokens) * cdiv(outputs, tile.outputs)
    with device_of(x):
        gated_lowrank_kernel[(programs, batch)](
            x.contiguous(), weight.contiguous(), bias.contiguous(), a.contiguous(), b.contiguous(), index.contiguous(),
            gates.contiguous(), y, down, scale, height * width, channels, outputs, active, rank, **tile.arguments(),
        )  # fmt: skip
    return y, down


@gated_lowrank.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, index: Tensor, gates: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    down = x.new_empty((*x.shape[:3], index.shape[1] * a.shape[1]), dtype=torch.float32)
    return x.new_empty((*x.shape[:3], weight.shape[0])), down


def merged_lowrank(
    x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, index: Tensor, gates: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """As `gated_lowrank` for any ranks, by a merged weight for each image, `[B, N, K]`."""
    batch, chosen = len(index), index.long()
    a_rows = a[chosen].flatten(1, 2)
    b_columns = (b[chosen].float() * gates[:, :, None, None]).transpose(1, 2).flatten(2)
    merged = torch.baddbmm(weight.float().expand(batch, -1, -1), b_columns, a_rows.float(), alpha=scale)
    own = torch.arange(batch, dtype=torch.int32, device=x.device)
    y = pointwise(x, merged.to(x.dtype), bias.expand(batch, -1), own)
    return y, pointwise(x, a_rows, bias.new_zeros(a_rows.shape[:2]), own).float()


def _save(ctx: GradContext, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, _, a, b, index, gates, ctx.scale = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(x, weight, a, b, index, gates, output[1])


def _backward(ctx: GradContext, dy: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    """The operation itself on W^T, its factors exchanged, gives dx and `up = dy B`; the factors' gradients follow.

    `dA_e = s sum_b g_be up_be^T x_b`, `dB_e = s sum_b g_be dy_b^T down_be`, `dg_be = s <down_be, up_be>`.
    """
    x, weight, a, b, index, gates, down = ctx.saved_tensors
    needs_x, needs_weight, needs_bias, needs_a, needs_b, _, needs_gates, _ = ctx.needs_input_grad
    batch, active = index.shape
    slots = (active, a.shape[1])
    image = torch.arange(batch, dtype=torch.int32, device=x.device)
    experts = torch.arange(len(a), device=x.device)
    share = ctx.scale * gates[:, :, None] * (index[:, :, None] == experts)
    dx = dweight = dbias = da = db = dgates = None
    if needs_x or needs_a or needs_gates:
        dx, up = gated_lowrank(
            dy, weight.T, weight.new_zeros(weight.shape[1], dtype=torch.float32), b.mT, a.mT, index, gates, ctx.scale
        )
        if needs_a:
            rows = grouped_weight_grad(x, up.to(x.dtype), image, batch).unflatten(1, slots)
            da = torch.einsum("bje,bjrk->erk", share, rows).to(a.dtype)
        if needs_gates:
            dgates = ctx.scale * (down * up).unflatten(3, slots).sum((1, 2, 4))
    if needs_b:
        columns = grouped_weight_grad(down.to(x.dtype), dy, image, batch).unflatten(2, slots)
        db = torch.einsum("bje,bnjr->enr", share, columns).to(b.dtype)
    if needs_weight:
        dweight = grouped_weight_grad(x, dy, torch.zeros_like(image), 1)[0].to(weight.dtype)
    if needs_bias:
        dbias = dy.sum((0, 1, 2), dtype=torch.float32)
    return dx, dweight, dbias, da, db, None, dgates, None


gated_lowrank.register_autograd(_backward, setup_context=_save)
