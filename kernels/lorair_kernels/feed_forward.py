"""The feed-forward half of NAFNet's block in one launch, NHWC, each image with its own weight set."""

from typing import Any

import torch
from torch import Tensor

from lorair_kernels.backend import GradContext, device_of, runs_triton
from lorair_kernels.launch import FEED_FORWARD, cdiv, find_tile
from lorair_kernels.pointwise import pointwise
from lorair_kernels.reference import EPS
from lorair_kernels.reference import feed_forward as reference_feed_forward


@torch.library.custom_op("lorair::feed_forward", mutates_args=())
def feed_forward(x: Tensor, w4: Tensor, b4: Tensor, row_sums: Tensor, w5: Tensor, b5: Tensor, index: Tensor) -> Tensor:
    """The feed-forward half of NAFNet's block, `x + W5 gate(W4 norm(x) + b4) + b5`: the map read and written once.

    Differentiable in x, weights and biases; the hidden channels are computed again for it. The row sums get no
    gradient: w4's includes theirs.

    Args:
        x: `[B, H, W, C]`, C as far as `plan.FEED_FORWARD` goes; layer-normalised inside (eps 1e-6, the
            affine folded into w4 and b4).
        w4: `[U, 2C, C]` with x's dtype.
        b4: `[U, 2C]` float32.
        row_sums: `[U, 2C]` float32, the sums over C of the rounded w4.
        w5: `[U, C, C]` with x's dtype, the residual scale folded in.
        b5: `[U, C]` float32.
        index: `[B]` int32.

    Returns:
        `[B, H, W, C]`, contiguous, with x's dtype.

    Raises:
        ValueError: if the weights do not fit x, index is not int32, or x has too many channels for one launch.
    """
    batch, height, width, channels = x.shape
    shapes = (w4.shape[1:], w5.shape[1:]) != ((2 * channels, channels), (channels, channels))
    if shapes or w4.dtype != x.dtype or w5.dtype != x.dtype or index.dtype != torch.int32:
        raise ValueError(
            f"w4 must be [U, {2 * channels}, {channels}] and w5 [U, {channels}, {channels}] of {x.dtype} and index "
            f"int32, for x {tuple(x.shape)}; got {tuple(w4.shape)} of {w4.dtype}, {tuple(w5.shape)} of {w5.dtype}, "
            f"and {index.dtype}"
        )
    tile = find_tile(FEED_FORWARD, x, tokens=height * width, channels=channels)
    if tile is None:
        raise ValueError(f"{channels} channels of {x.dtype} are too many for one launch; call pointwise twice")
    if not runs_triton(x):
        return reference_feed_forward(x, w4, b4, w5, b5, index).contiguous()
    from lorair_kernels.feed_forward_triton import feed_forward_kernel

    y = x.new_empty(x.shape)
    with device_of(x):
        feed_forward_kernel[(cdiv(height * width, tile.tokens), batch)](
            x.contiguous(), w4.contiguous(), b4.contiguous(), row_sums.contiguous(), w5.contiguous(), b5.contiguous(),
            index.contiguous(), y, height * width, **tile.arguments(C=channels, EPS=EPS),
        )  # fmt: skip
    return y


@feed_forward.register_fake
def _(x: Tensor, w4: Tensor, b4: Tensor, row_sums: Tensor, w5: Tensor, b5: Tensor, index: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _save(ctx: GradContext, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: GradContext, dy: Tensor) -> tuple[Tensor | None, ...]:
    needed = ctx.needs_input_grad
    with torch.enable_grad():
        inputs = [t.detach().requires_grad_(needs) for t, needs in zip(ctx.saved_tensors, needed, strict=True)]
        x, w4, b4, row_sums, w5, b5, index = inputs
        z = pointwise(x, w4, b4, index, row_sums.detach(), None, True)
        y = pointwise(z, w5, b5, index, None, x)
        grads = torch.autograd.grad(y, [t for t in inputs if t.requires_grad], dy, allow_unused=True)
    rest = iter(grads)
    return tuple(next(rest) if needs else None for needs in needed)


feed_forward.register_autograd(_backward, setup_context=_save)
