"""Gradients of weight sets: what the images of a set give is summed, in an order that does not change."""

import torch
from torch import Tensor

from lorair_kernels.backend import device_of, runs_triton
from lorair_kernels.launch import GROUPED_SUM, WEIGHT_GRAD, cdiv, tile_for
from lorair_kernels.reference import grouped_sum as reference_grouped_sum
from lorair_kernels.reference import grouped_weight_grad as reference_grouped_weight_grad


@torch.library.custom_op("lorair::grouped_sum", mutates_args=())
def grouped_sum(values: Tensor, index: Tensor, sets: int) -> Tensor:
    """The sum over the images of each set, without a device-to-host copy of `index`.

    Args:
        values: `[B, ...]` float32.
        index: `[B]` int32, the set of each image, from 0 to `sets - 1`.
        sets: U, how many sets there are.

    Returns:
        `[U, ...]` float32, zeros for a set without an image.
    """
    if not runs_triton(values):
        return reference_grouped_sum(values, index, sets)
    from lorair_kernels.grouped_weight_grad_triton import grouped_sum_kernel

    out = values.new_empty(sets, *values.shape[1:])
    numel, tile = out[0].numel(), tile_for(GROUPED_SUM, values)
    with device_of(values):
        grouped_sum_kernel[(cdiv(numel, tile.width), sets)](
            values.contiguous(), index.contiguous(), out, len(values), numel, **tile.arguments()
        )
    return out


@grouped_sum.register_fake
def _(values: Tensor, index: Tensor, sets: int) -> Tensor:
    return values.new_empty((sets, *values.shape[1:]))


@torch.library.custom_op("lorair::grouped_weight_grad", mutates_args=())
def grouped_weight_grad(x: Tensor, dy: Tensor, index: Tensor, sets: int) -> Tensor:
    """The gradient of a 1x1 convolution's weight sets, `dW_u = sum over images b of set u of dy_b^T x_b`.

    Parts of an image's tokens are multiplied apart and then summed, first within the image, then within the set.

    Args:
        x: `[B, H, W, K]`, what the convolution read.
        dy: `[B, H, W, N]` with x's dtype, the gradient of what it wrote.
        index: `[B]` int32, the set of each image, on the device.
        sets: U, how many sets there are.

    Returns:
        `[U, N, K]` float32, zeros for a set without an image.

    Raises:
        ValueError: if x and dy differ in dtype, images or pixels, or index is not int32.
    """
    if dy.dtype != x.dtype or dy.shape[:-1] != x.shape[:-1] or index.dtype != torch.int32:
        raise ValueError(
            f"dy must be {[*x.shape[:-1], 'N']} of {x.dtype} and index int32, for x {tuple(x.shape)}; "
            f"got {tuple(dy.shape)} of {dy.dtype}, and {index.dtype}"
        )
    if not runs_triton(x):
        return reference_grouped_weight_grad(x, dy, index, sets).float()
    from lorair_kernels.grouped_weight_grad_triton import grouped_weight_grad_kernel

    batch, height, width, channels = x.shape
    outputs = dy.shape[-1]
    tile = tile_for(WEIGHT_GRAD, x, tokens=height * width, channels=channels)
    parts = cdiv(height * width, tile.part)
    partial = torch.empty(batch, parts, outputs, channels, dtype=torch.float32, device=x.device)
    with device_of(x):
        grouped_weight_grad_kernel[(cdiv(outputs, tile.outputs) * cdiv(channels, tile.channels), parts, batch)](
            x.contiguous(), dy.contiguous(), partial, height * width, channels, outputs, **tile.arguments()
        )
    return grouped_sum(partial.sum(1), index, sets)


@grouped_weight_grad.register_fake
def _(x: Tensor, dy: Tensor, index: Tensor, sets: int) -> Tensor:
    return x.new_empty((sets, dy.shape[-1], x.shape[-1]), dtype=torch.float32)
