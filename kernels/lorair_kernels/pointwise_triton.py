"""Triton kernel of the 1x1 convolution, NHWC: a pixel's channels are one row, so it is a plain GEMM.

Every image reads its own weight set, `index[image]`. Statistics, sums and products of the two gate halves are
float32 whatever the storage; products of float32 inputs take three tf32 products on tensor cores.
"""

import triton
import triton.language as tl


@triton.jit
def in_squares(token, channel, width, channels):
    """Where channels of tokens lie in an image whose tokens, `width` a row, are 2x2 squares of its pixels.

    Two neighbouring pixels are one row of numbers, so a square is two halves of `channels`, a row of pixels apart.
    """
    half = channels // 2
    corner = (token // width * (2 * width) + token % width).to(tl.int64) * half
    return corner[:, None] + (channel // half * (width * half) + channel % half)[None, :]


@triton.jit
def pointwise_kernel(
    x, weight, bias, row_sums, residual, index, y, tokens, width, channels, outputs,
    NORMALISED: tl.constexpr, GATED: tl.constexpr, RESIDUAL: tl.constexpr, SQUARES: tl.constexpr, EPS: tl.constexpr,
    TOKENS: tl.constexpr, OUTPUTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """y = residual + gate(norm(x) W^T + bias), each of norm, gate and residual where its flag is set.

    The layer norm waits until after the product: W (x - mean)/std = (W x - mean * rowsum(W))/std, so that the tensor
    cores read x as it is stored. Its moments come from the same loads, joined chunk by chunk (Chan, Golub and
    LeVeque 1983), without the cancellation of a sum of squares. Gated, `outputs` counts the products
    and the weight has twice as many rows: first those of u, then those of v. SQUARES "read": a token of x is a square
    of pixels; "write": one of y and residual is.
    """
    image = tl.program_id(1)
    column_tiles = tl.cdiv(outputs, OUTPUTS)
    first_token = tl.program_id(0) // column_tiles * TOKENS
    t = tl.arange(0, TOKENS)
    n = tl.program_id(0) % column_tiles * OUTPUTS + tl.arange(0, OUTPUTS)
    k = tl.arange(0, CHANNELS)
    here = (t < tokens - first_token)[:, None]
    named = n < outputs
    rows: tl.constexpr = 2 if GATED else 1
    weight_set = tl.load(index + image).to(tl.int64)
    first_pixel = image.to(tl.int64) * tokens + first_token
    x += (first_pixel - first_token if SQUARES == "read" else first_pixel) * channels
    weight += weight_set * rows * outputs * channels
    bias += weight_set * rows * outputs
    row_sums += weight_set * rows * outputs

    u = tl.zeros((TOKENS, OUTPUTS), tl.float32)
    v = tl.zeros((TOKENS, OUTPUTS), tl.float32)
    mean = tl.zeros((TOKENS,), tl.float32)
    m2 = tl.zeros((TOKENS,), tl.float32)
    for first in range(0, channels, CHANNELS):
        inside = k < channels - first
        if SQUARES == "read":
            x_at = x + in_squares(first_token + t, first + k, width, channels)
        else:
            x_at = x + t[:, None] * channels + (first + k)[None, :]
        x_tile = tl.load(x_at, mask=here & inside[None, :], other=0.0)
        w_at = weight + n[:, None] * channels + (first + k)[None, :]
        w_mask = named[:, None] & inside[None, :]
        w_tile = tl.load(w_at, mask=w_mask, other=0.0)
        u = tl.dot(x_tile, tl.trans(w_tile), u, input_precision="tf32x3")
        if GATED:
            w_tile = tl.load(w_at + outputs * channels, mask=w_mask, other=0.0)
            v = tl.dot(x_tile, tl.trans(w_tile), v, input_precision="tf32x3")
        if NORMALISED:
            values = x_tile.to(tl.float32)
            count = tl.minimum(channels - first, CHANNELS).to(tl.float32)
            chunk_mean = tl.sum(values, axis=1) / count
            off = tl.where(inside[None, :], values - chunk_mean[:, None], 0.0)
            step, share = chunk_mean - mean, count / (first + count)
            mean += step * share
            m2 += tl.sum(off * off, axis=1) + step * step * share * first

    if NORMALISED:
        rstd = 1.0 / tl.sqrt(m2 / channels + EPS)
        u = rstd[:, None] * (u - mean[:, None] * tl.load(row_sums + n, mask=named, other=0.0)[None, :])
        if GATED:
            sums = tl.load(row_sums + outputs + n, mask=named, other=0.0)
            v = rstd[:, None] * (v - mean[:, None] * sums[None, :])
    u += tl.load(bias + n, mask=named, other=0.0)[None, :]
    if GATED:
        u *= v + tl.load(bias + outputs + n, mask=named, other=0.0)[None, :]
    if SQUARES == "write":
        at = (first_pixel - first_token) * outputs + in_squares(first_token + t, n, width, outputs)
    else:
        at = first_pixel * outputs + t[:, None] * outputs + n[None, :]
    mask = here & named[None, :]
    if RESIDUAL:
        u += tl.load(residual + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + at, u.to(y.dtype.element_ty), mask=mask)
