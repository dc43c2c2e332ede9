"""Triton kernel of the channel attention's weights; all arithmetic is in float32."""

import triton
import triton.language as tl


@triton.jit
def attention_weights_kernel(
    sums, weight, bias, following, index, out, per_pixel, channels, outputs,
    OUTPUTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """out = following diag(weight mean + bias), one tile of one image's per program."""
    image = tl.program_id(2)
    n = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    k = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    weight_set = tl.load(index + image).to(tl.int64)
    named = k < channels
    weight += weight_set * channels * channels
    scales = tl.load(bias + weight_set * channels + k, mask=named, other=0.0).to(tl.float32)
    for first in range(0, channels, CHANNELS):
        j = first + tl.arange(0, CHANNELS)
        inside = j < channels
        mean = tl.load(sums + image * channels + j, mask=inside, other=0.0) * per_pixel
        w_tile = tl.load(weight + k[:, None] * channels + j[None, :], mask=named[:, None] & inside[None, :], other=0.0)
        scales += tl.sum(w_tile.to(tl.float32) * mean[None, :], axis=1)
    at = n[:, None] * channels + k[None, :]
    mask = (n < outputs)[:, None] & named[None, :]
    columns = tl.load(following + weight_set * outputs * channels + at, mask=mask, other=0.0).to(tl.float32)
    out += image.to(tl.int64) * outputs * channels
    tl.store(out + at, (columns * scales[None, :]).to(out.dtype.element_ty), mask=mask)
