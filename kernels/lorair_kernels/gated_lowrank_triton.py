"""Triton kernel of the 1x1 convolution whose low-rank experts share its main loop, NHWC.

The ranks of an image's active experts are adjacent, R for each in turn, so that all of them are one product next to
the weight's: the pixels are read once and the experts' weights are never formed.
"""

import triton
import triton.language as tl


@triton.jit
def gated_lowrank_kernel(
    x, weight, bias, a, b, index, gates, y, down, scale, tokens, channels, outputs, active, rank,
    TOKENS: tl.constexpr, OUTPUTS: tl.constexpr, CHANNELS: tl.constexpr, RANKS: tl.constexpr,
):  # fmt: skip
    """y = x W^T + bias + scale * (g * down) B^T with down = x A^T, A and B the active experts' concatenated factors.

    RANKS covers `active * rank`. Every column of programs computes `down` for itself, and the first one stores it.
    """
    image = tl.program_id(1)
    column_tiles = tl.cdiv(outputs, OUTPUTS)
    first_column = tl.program_id(0) % column_tiles * OUTPUTS
    first_token = tl.program_id(0) // column_tiles * TOKENS
    t = tl.arange(0, TOKENS)
    n = first_column + tl.arange(0, OUTPUTS)
    k = tl.arange(0, CHANNELS)
    q = tl.arange(0, RANKS)
    here = (t < tokens - first_token)[:, None]
    named = n < outputs
    used = q < active * rank
    first_pixel = image.to(tl.int64) * tokens + first_token
    x += first_pixel * channels
    expert = tl.load(index + image * active + q // rank, mask=used, other=0).to(tl.int64)
    a += (expert * rank + q % rank)[:, None] * channels

    u = tl.zeros((TOKENS, OUTPUTS), tl.float32)
    d = tl.zeros((TOKENS, RANKS), tl.float32)
    for first in range(0, channels, CHANNELS):
        inside = (k < channels - first)[None, :]
        x_tile = tl.load(x + t[:, None] * channels + (first + k)[None, :], mask=here & inside, other=0.0)
        w_at = weight + n[:, None] * channels + (first + k)[None, :]
        w_tile = tl.load(w_at, mask=named[:, None] & inside, other=0.0)
        u = tl.dot(x_tile, tl.trans(w_tile), u, input_precision="tf32x3")
        a_tile = tl.load(a + (first + k)[None, :], mask=used[:, None] & inside, other=0.0)
        d = tl.dot(x_tile, tl.trans(a_tile), d, input_precision="tf32x3")

    if first_column == 0:
        down_at = down + first_pixel * active * rank + t[:, None] * (active * rank) + q[None, :]
        tl.store(down_at, d, mask=here & used[None, :])
    gate = scale * tl.load(gates + image * active + q // rank, mask=used, other=0.0)
    b_at = b + (expert * outputs * rank + q % rank)[None, :] + n[:, None] * rank
    b_tile = tl.load(b_at, mask=named[:, None] & used[None, :], other=0.0)
    gated = (d * gate[None, :]).to(b_tile.dtype)
    u = tl.dot(gated, tl.trans(b_tile), u, input_precision="tf32x3")
    u += tl.load(bias + n, mask=named, other=0.0)[None, :]
    at = first_pixel * outputs + t[:, None] * outputs + n[None, :]
    tl.store(y + at, u.to(y.dtype.element_ty), mask=here & named[None, :])
