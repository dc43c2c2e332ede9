"""Triton kernels of the weight sets' gradients: a product for each part of an image, and sums within the sets."""

import triton
import triton.language as tl


@triton.jit
def grouped_weight_grad_kernel(
    x, dy, partial, tokens, channels, outputs,
    OUTPUTS: tl.constexpr, CHANNELS: tl.constexpr, TOKENS: tl.constexpr, PART: tl.constexpr,
):  # fmt: skip
    """partial[image, part] = dy^T x over PART tokens; float32 in three tf32 products."""
    part, image = tl.program_id(1), tl.program_id(2).to(tl.int64)
    column_tiles = tl.cdiv(channels, CHANNELS)
    n = tl.program_id(0) // column_tiles * OUTPUTS + tl.arange(0, OUTPUTS)
    k = tl.program_id(0) % column_tiles * CHANNELS + tl.arange(0, CHANNELS)
    named_n, named_k = n < outputs, k < channels
    x += image * tokens * channels
    dy += image * tokens * outputs
    total = tl.zeros((OUTPUTS, CHANNELS), tl.float32)
    end = tl.minimum(part * PART + PART, tokens)
    for first in range(part * PART, end, TOKENS):
        t = (first + tl.arange(0, TOKENS)).to(tl.int64)
        here = (t < end)[:, None]
        x_tile = tl.load(x + t[:, None] * channels + k[None, :], mask=here & named_k[None, :], other=0.0)
        dy_tile = tl.load(dy + t[:, None] * outputs + n[None, :], mask=here & named_n[None, :], other=0.0)
        total = tl.dot(tl.trans(dy_tile), x_tile, total, input_precision="tf32x3")
    at = (image * tl.num_programs(1) + part) * outputs * channels + n[:, None] * channels + k[None, :]
    tl.store(partial + at, total, mask=named_n[:, None] & named_k[None, :])


@triton.jit
def grouped_sum_kernel(values, index, out, images, numel, WIDTH: tl.constexpr):
    """out[s] = sum of values[b] over the images b with index[b] = s, in the images' order."""
    group = tl.program_id(1)
    at = tl.program_id(0).to(tl.int64) * WIDTH + tl.arange(0, WIDTH)
    inside = at < numel
    values += at
    total = tl.zeros((WIDTH,), tl.float32)
    for _ in range(images):
        if tl.load(index) == group:
            total += tl.load(values, mask=inside, other=0.0)
        values += numel
        index += 1
    tl.store(out + group.to(tl.int64) * numel + at, total, mask=inside)
