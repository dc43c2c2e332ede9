"""The channel attention as a scaling of the weights that follow it."""

import torch
from torch import Tensor

from lorair_kernels import reference
from lorair_kernels.backend import device_of, runs_triton
from lorair_kernels.plan import ATTENTION, cdiv, tile_for


@torch.library.custom_op("lorair::attention_weights", mutates_args=())
def attention_weights(
    sums: Tensor, weight: Tensor, bias: Tensor, following: Tensor, index: Tensor, pixels: int
) -> Tensor:
    """The weights of the convolution after the channel attention, scaled by it; arguments as in the reference."""
    if not runs_triton(following):
        return reference.attention_weights(sums, weight, bias, following, index, pixels)
    from lorair_kernels.channel_attention_triton import attention_weights_kernel

    batch, channels = sums.shape
    outputs = following.shape[1]
    tile = tile_for(ATTENTION, following, channels=channels)
    out = following.new_empty(batch, outputs, channels)
    with device_of(sums):
        attention_weights_kernel[(cdiv(outputs, tile.outputs), cdiv(channels, tile.channels), batch)](
            sums.contiguous(), weight.contiguous(), bias.contiguous(), following.contiguous(), index, out,
            1 / pixels, channels, outputs, **tile.arguments(),
        )  # fmt: skip
    return out


@attention_weights.register_fake
def _(sums: Tensor, weight: Tensor, bias: Tensor, following: Tensor, index: Tensor, pixels: int) -> Tensor:
    return following.new_empty((sums.shape[0], *following.shape[1:]))
