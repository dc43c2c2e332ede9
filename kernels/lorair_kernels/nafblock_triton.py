"""Triton kernels of the fused NAFBlock, NHWC: a pixel's channels are one row, so a 1x1 convolution is a plain GEMM.

Every image reads its own weight set, ``index[image]``. Statistics, sums and products of the two gate halves are
float32 whatever the storage; products of float32 inputs take three tf32 products on tensor cores.
"""

import triton
import triton.language as tl


@triton.jit
def pointwise_kernel(
    x, weight, bias, row_sums, residual, index, y, tokens, channels, outputs,
    NORMALISED: tl.constexpr, GATED: tl.constexpr, RESIDUAL: tl.constexpr, EPS: tl.constexpr,
    TOKENS: tl.constexpr, OUTPUTS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """y = residual + gate(norm(x) W^T + bias), each of norm, gate and residual where its flag is set.

    The layer norm waits until after the product: W (x - mean)/std = (W x - mean * rowsum(W))/std, so that the tensor
    cores read x as it is stored. Its moments come from the same loads, joined chunk by chunk (Chan, Golub and
    LeVeque 1983), without the cancellation of a sum of squares. Gated, ``outputs`` counts the products
    and the weight has twice as many rows: first those of u, then those of v.
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
    x += first_pixel * channels
    weight += weight_set * rows * outputs * channels
    bias += weight_set * rows * outputs
    row_sums += weight_set * rows * outputs

    u = tl.zeros((TOKENS, OUTPUTS), tl.float32)
    v = tl.zeros((TOKENS, OUTPUTS), tl.float32)
    mean = tl.zeros((TOKENS,), tl.float32)
    m2 = tl.zeros((TOKENS,), tl.float32)
    for first in range(0, channels, CHANNELS):
        inside = k < channels - first
        x_tile = tl.load(x + t[:, None] * channels + (first + k)[None, :], mask=here & inside[None, :], other=0.0)
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
    at = first_pixel * outputs + t[:, None] * outputs + n[None, :]
    mask = here & named[None, :]
    if RESIDUAL:
        u += tl.load(residual + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(y + at, u.to(y.dtype.element_ty), mask=mask)


@triton.jit
def depthwise_gate_kernel(
    x, weight, bias, index, y, partial, height, width, channels,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """y = (u * x_u + b_u)(v * x_v + b_v), 3x3 depthwise, and the tile's sums of y in ``partial`` [B, tiles, C].

    Input rows pass once from top to bottom; each adds its taps to the three output rows that it touches, so an output
    costs three loads instead of nine. ``channels`` is C; x has 2C.
    """
    tile, image = tl.program_id(0), tl.program_id(2)
    column_tiles = tl.cdiv(width, COLUMNS)
    top = tile // column_tiles * ROWS
    column = tile % column_tiles * COLUMNS + tl.arange(0, COLUMNS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    named = c < channels
    weight_set = tl.load(index + image).to(tl.int64)
    weight += weight_set * 18 * channels + c
    bias += weight_set * 2 * channels + c
    x += image.to(tl.int64) * height * width * 2 * channels
    y += image.to(tl.int64) * height * width * channels
    bias_u = tl.load(bias, mask=named, other=0.0).to(tl.float32)[None, :]
    bias_v = tl.load(bias + channels, mask=named, other=0.0).to(tl.float32)[None, :]

    zeros = tl.zeros((COLUMNS, CHANNELS), tl.float32)
    above_u, above_v, here_u, here_v, total = zeros, zeros, zeros, zeros, zeros
    for step in range(ROWS + 2):
        row = tl.full((COLUMNS,), top - 1 + step, tl.int32)
        below_u, below_v = zeros, zeros
        for j in tl.static_range(3):
            from_column = column + (j - 1)
            inside = (from_column >= 0) & (from_column < width) & (row >= 0) & (row < height)
            mask = inside[:, None] & named[None, :]
            pixel = row.to(tl.int64) * width + from_column
            at = x + pixel[:, None] * (2 * channels) + c[None, :]
            x_u = tl.load(at, mask=mask, other=0.0).to(tl.float32)
            x_v = tl.load(at + channels, mask=mask, other=0.0).to(tl.float32)
            for i in tl.static_range(3):
                tap = weight + (3 * i + j) * 2 * channels
                tap_u = tl.load(tap, mask=named, other=0.0).to(tl.float32)[None, :]
                tap_v = tl.load(tap + channels, mask=named, other=0.0).to(tl.float32)[None, :]
                if i == 0:
                    below_u += x_u * tap_u
                    below_v += x_v * tap_v
                elif i == 1:
                    here_u += x_u * tap_u
                    here_v += x_v * tap_v
                else:
                    above_u += x_u * tap_u
                    above_v += x_v * tap_v
        done = row - 1
        written = (column < width) & (done >= top) & (done < height)
        gated = tl.where(written[:, None], (above_u + bias_u) * (above_v + bias_v), 0.0)
        total += gated
        pixel = done.to(tl.int64) * width + column
        at = y + pixel[:, None] * channels + c[None, :]
        tl.store(at, gated.to(y.dtype.element_ty), mask=written[:, None] & named[None, :])
        above_u, above_v, here_u, here_v = here_u, here_v, below_u, below_v
    at = partial + (image.to(tl.int64) * tl.num_programs(0) + tile) * channels + c
    tl.store(at, tl.sum(total, axis=0), mask=named)


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
