"""The 1x1 convolution of NHWC images, each with its own weight set: a matrix product with norm, gate and residual."""

import torch
from torch import Tensor

from lorair_kernels import reference
from lorair_kernels.backend import device_of, runs_triton
from lorair_kernels.plan import POINTWISE, cdiv, tile_for


@torch.library.custom_op("lorair::pointwise", mutates_args=())
def pointwise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    index: Tensor,
    row_sums: Tensor | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
) -> Tensor:
    """A 1x1 convolution, ``residual + gate(W norm(x) + b)`` with W and b of each image's set, in one launch.

    Args:
        x: ``[B, H, W, K]``.
        weight: ``[U, N, K]`` with x's dtype.
        bias: ``[U, N]`` float32.
        index: ``[B]`` int32.
        row_sums: ``[U, N]`` float32, the sums over K of the rounded weight; given, x is layer-normalised first
            (eps 1e-6, the affine folded into weight and bias).
        residual: ``[B, H, W, N]`` with x's dtype, added last; not with ``gated``.
        gated: multiply the two halves of the N channels, leaving N/2.

    Returns:
        ``[B, H, W, N]`` or N/2 channels, contiguous, with x's dtype.
    """
    if weight.dtype != x.dtype or weight.shape[-1] != x.shape[-1] or index.dtype != torch.int32:
        raise ValueError(
            f"weight must be [U, N, {x.shape[-1]}] of {x.dtype} and index int32, for x {tuple(x.shape)}; "
            f"got {tuple(weight.shape)} of {weight.dtype}, and {index.dtype}"
        )
    if not runs_triton(x):
        y = reference.pointwise(x, weight, bias, index, normalised=row_sums is not None, residual=residual, gated=gated)
        return y.contiguous()
    from lorair_kernels.pointwise_triton import pointwise_kernel

    batch, height, width, channels = x.shape
    outputs = weight.shape[1] // (2 if gated else 1)
    tile = tile_for(POINTWISE, x, gated=gated, tokens=height * width, channels=channels)
    y = x.new_empty(batch, height, width, outputs)
    programs = cdiv(height * width, tile.tokens) * cdiv(outputs, tile.outputs)
    with device_of(x):
        pointwise_kernel[(programs, batch)](
            x.contiguous(), weight.contiguous(), bias.contiguous(),
            bias if row_sums is None else row_sums.contiguous(),
            x if residual is None else residual.contiguous(),
            index, y, height * width, channels, outputs,
            **tile.arguments(
                NORMALISED=row_sums is not None, GATED=gated, RESIDUAL=residual is not None, EPS=reference.EPS
            ),
        )  # fmt: skip
    return y


@pointwise.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    index: Tensor,
    row_sums: Tensor | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
) -> Tensor:
    return x.new_empty((*x.shape[:3], weight.shape[1] // (2 if gated else 1)))
