"""The depthwise 3x3 convolution with SimpleGate, and the sums that the channel attention pools, NHWC."""

from typing import Any

import torch
from torch import Tensor

from lorair_kernels.backend import GradContext, device_of, runs_triton
from lorair_kernels.grouped_weight_grad import grouped_sum
from lorair_kernels.launch import DEPTHWISE, DEPTHWISE_GRAD, cdiv, tile_for
from lorair_kernels.reference import depthwise_gate as reference_depthwise_gate
from lorair_kernels.reference import depthwise_gate_backward as reference_depthwise_gate_backward


@torch.library.custom_op("lorair::depthwise_gate", mutates_args=())
def depthwise_gate(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """A depthwise 3x3 convolution, SimpleGate and the pool's sums; arguments and results as in the reference.

    The sums are taken from the unrounded products, tile by tile, in an order that does not change. Differentiable in
    x, weight and bias, through y and through the sums.
    """
    if weight.dtype != x.dtype or weight.shape[1:] != (9, x.shape[-1]) or index.dtype != torch.int32:
        raise ValueError(
            f"weight must be [U, 9, {x.shape[-1]}] of {x.dtype} and index int32, for x {tuple(x.shape)}; "
            f"got {tuple(weight.shape)} of {weight.dtype}, and {index.dtype}"
        )
    if not runs_triton(x):
        y, sums = reference_depthwise_gate(x, weight, bias, index)
        return y, sums.float()
    from lorair_kernels.depthwise_gate_triton import depthwise_gate_kernel

    batch, height, width, channels = x.shape[0], x.shape[1], x.shape[2], x.shape[3] // 2
    tile = tile_for(DEPTHWISE, x, tokens=height * width, channels=channels)
    tiles = cdiv(height, tile.rows) * cdiv(width, tile.columns)
    y = x.new_empty(batch, height, width, channels)
    partial = torch.empty(batch, tiles, channels, dtype=torch.float32, device=x.device)
    with device_of(x):
        depthwise_gate_kernel[(tiles, cdiv(channels, tile.channels), batch)](
            x.contiguous(), weight.contiguous(), bias.contiguous(), index.contiguous(), y, partial, height,
            width, channels, **tile.arguments(),
        )  # fmt: skip
    return y, partial.sum(1)


@depthwise_gate.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    batch, height, width, channels = x.shape
    sums = x.new_empty((batch, channels // 2), dtype=torch.float32)
    return x.new_empty((batch, height, width, channels // 2)), sums


@torch.library.custom_op("lorair::depthwise_gate_backward", mutates_args=())
def depthwise_gate_backward(
    dy: Tensor, dsums: Tensor, x: Tensor, weight: Tensor, bias: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of `depthwise_gate` in x, and in each image's own taps and bias; as in the reference."""
    if not runs_triton(x):
        dx, dweight = reference_depthwise_gate_backward(dy, dsums, x, weight, bias, index)
        return dx.contiguous(), dweight.float().contiguous()
    from lorair_kernels.depthwise_gate_triton import depthwise_grad_kernel, gate_grad_kernel

    x, weight, index = x.contiguous(), weight.contiguous(), index.contiguous()
    batch, height, width, channels = x.shape
    tile = tile_for(DEPTHWISE_GRAD, x, tokens=height * width, channels=channels)
    tiles = cdiv(height, tile.rows) * cdiv(width, tile.columns)
    d, dx = torch.empty_like(x), torch.empty_like(x)
    partial = torch.empty(batch, tiles, 10, channels, dtype=torch.float32, device=x.device)
    with device_of(x):
        gate_grad_kernel[(tiles, cdiv(channels // 2, tile.channels), batch)](
            x, weight, bias.contiguous(), index, dy.contiguous(), dsums.contiguous(), d, height, width, channels // 2,
            **tile.arguments(),
        )  # fmt: skip
        depthwise_grad_kernel[(tiles, cdiv(channels, tile.channels), batch)](
            x, weight, index, d, dx, partial, height, width, channels, **tile.arguments()
        )
    return dx, partial.sum(1)


@depthwise_gate_backward.register_fake
def _(dy: Tensor, dsums: Tensor, x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty((x.shape[0], 10, x.shape[3]), dtype=torch.float32)


def _save(ctx: GradContext, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: GradContext, dy: Tensor, dsums: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias, index = ctx.saved_tensors
    dx, own = depthwise_gate_backward(dy, dsums, x, weight, bias, index)
    dweight = grouped_sum(own, index, weight.shape[0])
    return dx, dweight[:, :9].to(weight.dtype), dweight[:, 9].to(bias.dtype), None


depthwise_gate.register_autograd(_backward, setup_context=_save)
