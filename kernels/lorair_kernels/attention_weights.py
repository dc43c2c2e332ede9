"""The channel attention as a scaling of the weights that follow it."""

from typing import Any

import torch
from torch import Tensor

from lorair_kernels.backend import GradContext, device_of, runs_triton
from lorair_kernels.grouped_weight_grad import grouped_sum
from lorair_kernels.launch import ATTENTION, cdiv, tile_for
from lorair_kernels.reference import attention_weights as reference_attention_weights


@torch.library.custom_op("lorair::attention_weights", mutates_args=())
def attention_weights(
    sums: Tensor, weight: Tensor, bias: Tensor, following: Tensor, index: Tensor, pixels: int
) -> Tensor:
    """The weights of the convolution after the channel attention, scaled by it; arguments as in the reference.

    Differentiable in all but index and pixels.
    """
    if not runs_triton(following):
        return reference_attention_weights(sums, weight, bias, following, index, pixels)
    from lorair_kernels.attention_weights_triton import attention_weights_kernel

    batch, channels = sums.shape
    outputs = following.shape[1]
    tile = tile_for(ATTENTION, following, channels=channels)
    out = following.new_empty(batch, outputs, channels)
    with device_of(sums):
        attention_weights_kernel[(cdiv(outputs, tile.outputs), cdiv(channels, tile.channels), batch)](
            sums.contiguous(), weight.contiguous(), bias.contiguous(), following.contiguous(),
            index.contiguous(), out, 1 / pixels, channels, outputs, **tile.arguments(),
        )  # fmt: skip
    return out


@attention_weights.register_fake
def _(sums: Tensor, weight: Tensor, bias: Tensor, following: Tensor, index: Tensor, pixels: int) -> Tensor:
    return following.new_empty((sums.shape[0], *following.shape[1:]))


def _save(ctx: GradContext, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.pixels = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: GradContext, grad: Tensor) -> tuple[Tensor | None, ...]:
    """With s = W mean + b, out = F diag(s): dF = dout diag(s), ds_k = sum_n dout_nk F_nk, dW = ds mean^T, db = ds."""
    sums, weight, bias, following, index = ctx.saved_tensors
    sets, chosen = weight.shape[0], index.long()
    own, mean, grad = weight[chosen].float(), sums.float() / ctx.pixels, grad.float()
    scales = (own @ mean[:, :, None]).squeeze(2) + bias[chosen].float()
    dscales = (grad * following[chosen].float()).sum(1)
    dsums = (dscales[:, None] @ own).squeeze(1) / ctx.pixels
    dweight = grouped_sum(dscales[:, :, None] * mean[:, None], index, sets)
    dbias = grouped_sum(dscales, index, sets)
    dfollowing = grouped_sum(grad * scales[:, None], index, sets)
    grads = dsums.to(sums.dtype), dweight.to(weight.dtype), dbias.to(bias.dtype), dfollowing.to(following.dtype)
    return *grads, None, None


attention_weights.register_autograd(_backward, setup_context=_save)
