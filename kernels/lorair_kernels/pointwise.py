"""The 1x1 convolution of NHWC images, each with its own weight set: a matrix product with norm, gate and residual."""

from typing import Any

import torch
from torch import Tensor

from lorair_kernels.backend import GradContext, device_of, runs_triton
from lorair_kernels.grouped_weight_grad import grouped_sum, grouped_weight_grad
from lorair_kernels.launch import POINTWISE, cdiv, tile_for
from lorair_kernels.reference import EPS, from_squares, to_squares
from lorair_kernels.reference import pointwise as reference_pointwise


@torch.library.custom_op("lorair::pointwise", mutates_args=())
def pointwise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    index: Tensor,
    row_sums: Tensor | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
    squares: str = "",
) -> Tensor:
    """A 1x1 convolution, `residual + gate(W norm(x) + b)` with W and b of each image's set, in one launch.

    Differentiable in x, weight, bias and residual. The row sums are functions of the weight: its gradient is complete,
    and they get none.

    Args:
        x: `[B, H, W, K]`.
        weight: `[U, N, K]` with x's dtype.
        bias: `[U, N]` float32.
        index: `[B]` int32.
        row_sums: `[U, N]` float32, the sums over K of the rounded weight; given, x is layer-normalised first
            (eps 1e-6, the affine folded into weight and bias).
        residual: `[B, H, W, N]` with x's dtype, added last; not with `gated`.
        gated: multiply the two halves of the N channels, leaving N/2.
        squares: `"read"` for a 2x2 convolution of stride 2: x is `[B, 2H, 2W, K/4]`, and each pixel is made of a
            square of x's, whose channels follow row by row. `"write"` for a pixel shuffle: result and residual are
            `[B, 2H, 2W, N/4]`, and each pixel becomes a square.

    Returns:
        `[B, H, W, N]` or N/2 channels, contiguous, with x's dtype.

    Raises:
        ValueError: if weight does not fit x, index is not int32, or squares of an odd size are read.
    """
    batch, height, width, channels = _shape_read(x, squares)
    if weight.dtype != x.dtype or weight.shape[-1] != channels or index.dtype != torch.int32:
        raise ValueError(
            f"weight must be [U, N, {channels}] of {x.dtype} and index int32, for x {tuple(x.shape)}; "
            f"got {tuple(weight.shape)} of {weight.dtype}, and {index.dtype}"
        )
    normalised = row_sums is not None
    if not runs_triton(x):
        return reference_pointwise(
            x, weight, bias, index, normalised=normalised, residual=residual, gated=gated, squares=squares
        ).contiguous()
    from lorair_kernels.pointwise_triton import pointwise_kernel

    tile = tile_for(POINTWISE, x, gated=gated, tokens=height * width, channels=channels)
    y = x.new_empty(_result_shape(x, weight, gated, squares))
    outputs = weight.shape[1] // (2 if gated else 1)
    programs = cdiv(height * width, tile.tokens) * cdiv(outputs, tile.outputs)
    with device_of(x):
        pointwise_kernel[(programs, batch)](
            x.contiguous(), weight.contiguous(), bias.contiguous(),
            bias if row_sums is None else row_sums.contiguous(),
            x if residual is None else residual.contiguous(),
            index.contiguous(), y, height * width, width, channels, outputs,
            **tile.arguments(
                NORMALISED=normalised, GATED=gated, RESIDUAL=residual is not None, SQUARES=squares, EPS=EPS
            ),
        )  # fmt: skip
    return y


def _shape_read(x: Tensor, squares: str) -> tuple[int, int, int, int]:
    """The shape of the map that the convolution reads: squares of pixels count as one."""
    batch, height, width, channels = x.shape
    if squares not in ("", "read", "write") or (squares == "read" and (height % 2 or width % 2)):
        raise ValueError(
            f"squares must be '', 'write' or, for even sizes, 'read'; got {squares!r} for {tuple(x.shape)}"
        )
    return (batch, height // 2, width // 2, 4 * channels) if squares == "read" else (batch, height, width, channels)


def _result_shape(x: Tensor, weight: Tensor, gated: bool, squares: str) -> tuple[int, int, int, int]:
    batch, height, width, _ = x.shape
    outputs = weight.shape[1] // (2 if gated else 1)
    if squares == "read":
        return batch, height // 2, width // 2, outputs
    return (batch, 2 * height, 2 * width, outputs // 4) if squares == "write" else (batch, height, width, outputs)


@pointwise.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    index: Tensor,
    row_sums: Tensor | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
    squares: str = "",
) -> Tensor:
    return x.new_empty(_result_shape(x, weight, gated, squares))


def _save(ctx: GradContext, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, index, row_sums, residual, ctx.gated, ctx.squares = inputs
    ctx.adds_residual = residual is not None
    ctx.save_for_backward(x, weight, bias, index, row_sums)


def _backward(ctx: GradContext, dy: Tensor) -> tuple[Tensor | None, ...]:
    """Of z = W norm(x) + b: dnorm = W^T dz, dW = dz^T norm, db = sum of dz; the gate's halves and norm come again."""
    x, weight, bias, index, row_sums = ctx.saved_tensors
    sets, _, channels = weight.shape
    dresidual = dy if ctx.adds_residual else None
    if ctx.squares == "read":
        x = to_squares(x)
    if ctx.squares == "write":
        dy = to_squares(dy)
    dz, norm, mean, rstd = dy, x, None, None
    if ctx.gated:
        u, v = pointwise(x, weight, bias, index, row_sums).chunk(2, dim=-1)
        dz = torch.cat([dy * v, dy * u], dim=-1)
    if row_sums is not None:
        norm, mean, rstd = torch.native_layer_norm(x, [channels], None, None, EPS)
    dx = dweight = dbias = None
    if ctx.needs_input_grad[0]:
        dx = pointwise(dz, weight.transpose(1, 2), bias.new_zeros(sets, channels), index)
        if row_sums is not None:
            only_x = [True, False, False]
            dx = torch.ops.aten.native_layer_norm_backward(dx, x, [channels], mean, rstd, None, None, only_x)[0]
        if ctx.squares == "read":
            dx = from_squares(dx)
    if ctx.needs_input_grad[1]:
        dweight = grouped_weight_grad(norm, dz, index, sets).to(weight.dtype)
    if ctx.needs_input_grad[2]:
        dbias = grouped_sum(dz.sum((1, 2), dtype=torch.float32), index, sets).to(bias.dtype)
    return dx, dweight, dbias, None, None, dresidual, None, None


pointwise.register_autograd(_backward, setup_context=_save)
