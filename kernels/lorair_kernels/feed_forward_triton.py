"""Triton kernel of the feed-forward half of NAFNet's block, NHWC: both 1x1 convolutions of a map in one launch.

Two products back to back: a program keeps its pixels with all their channels, so the hidden channels between the two
never leave it. That fits up to 256 channels of 16 bits, 64 of float32 (see `plan`).
"""

import triton
import triton.language as tl


@triton.jit
def feed_forward_kernel(
    x, w4, b4, row_sums, w5, b5, index, y, tokens,
    C: tl.constexpr, EPS: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr, HIDDEN: tl.constexpr,
):  # fmt: skip
    """y = x + (u * v) W5^T + b5, where u and v are the halves of norm(x) W4^T + b4, HIDDEN channels at a time.

    CHANNELS is a power of two from C up. C is a constant, so that where they agree no mask costs a register.
    The layer norm waits until after the product, as in the pointwise kernel.
    """
    image = tl.program_id(1)
    first_token = tl.program_id(0) * TOKENS
    t = tl.arange(0, TOKENS)
    c = tl.arange(0, CHANNELS)
    h = tl.arange(0, HIDDEN)
    named = (c < C) | (C == CHANNELS)
    weight_set = tl.load(index + image).to(tl.int64)
    first_pixel = image.to(tl.int64) * tokens + first_token
    w4 += weight_set * 2 * C * C
    w5 += weight_set * C * C
    b4 += weight_set * 2 * C
    row_sums += weight_set * 2 * C

    at = first_pixel * C + t[:, None] * C + c[None, :]
    mask = (t < tokens - first_token)[:, None] & named[None, :]
    x_tile = tl.load(x + at, mask=mask, other=0.0)
    values = x_tile.to(tl.float32)
    mean = tl.sum(values, axis=1) / C
    off = tl.where(named[None, :], values - mean[:, None], 0.0)
    rstd = 1.0 / tl.sqrt(tl.sum(off * off, axis=1) / C + EPS)

    result = tl.zeros((TOKENS, CHANNELS), tl.float32)
    for first in range(0, C, HIDDEN):
        n = first + h
        inside = (n < C) | (C % HIDDEN == 0)
        w_at = w4 + n[:, None] * C + c[None, :]
        w_mask = inside[:, None] & named[None, :]
        u = tl.dot(x_tile, tl.trans(tl.load(w_at, mask=w_mask, other=0.0)), input_precision="tf32x3")
        w_tile = tl.load(w_at + C * C, mask=w_mask, other=0.0)
        v = tl.dot(x_tile, tl.trans(w_tile), input_precision="tf32x3")
        sums = tl.load(row_sums + n, mask=inside, other=0.0)
        u = rstd[:, None] * (u - mean[:, None] * sums[None, :]) + tl.load(b4 + n, mask=inside, other=0.0)[None, :]
        sums = tl.load(row_sums + C + n, mask=inside, other=0.0)
        shift = tl.load(b4 + C + n, mask=inside, other=0.0)
        v = rstd[:, None] * (v - mean[:, None] * sums[None, :]) + shift[None, :]
        z = (u * v).to(x_tile.dtype)
        w_tile = tl.load(w5 + c[:, None] * C + n[None, :], mask=named[:, None] & inside[None, :], other=0.0)
        result = tl.dot(z, tl.trans(w_tile), result, input_precision="tf32x3")

    result += tl.load(b5 + weight_set * C + c, mask=named, other=0.0)[None, :] + x_tile.to(tl.float32)
    tl.store(y + at, result.to(y.dtype.element_ty), mask=mask)
