"""Triton kernel of the depthwise 3x3 convolution with its gate, NHWC; all arithmetic is in float32."""

import triton
import triton.language as tl


@triton.jit
def depthwise_gate_kernel(
    x, weight, bias, index, y, partial, height, width, channels,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """y = (u * x_u + b_u)(v * x_v + b_v), 3x3 depthwise, and the tile's sums of y in `partial` [B, tiles, C].

    Input rows pass once from top to bottom; each adds its taps to the three output rows that it touches, so an output
    costs three loads instead of nine. `channels` is C; x has 2C.
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
def gate_grad_kernel(
    x, weight, bias, index, dy, dsums, d, height, width, channels,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """d = ((dy + dsums) v, (dy + dsums) u), the gradient of what the gate multiplies, u and v computed again.

    `channels` is C; x and d have 2C.
    """
    tile, image = tl.program_id(0), tl.program_id(2)
    column_tiles = tl.cdiv(width, COLUMNS)
    pixel = tl.arange(0, ROWS * COLUMNS)
    row = tile // column_tiles * ROWS + pixel // COLUMNS
    column = tile % column_tiles * COLUMNS + pixel % COLUMNS
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    named = c < channels
    weight_set = tl.load(index + image).to(tl.int64)
    weight += weight_set * 18 * channels + c
    bias += weight_set * 2 * channels + c
    first_pixel = image.to(tl.int64) * height * width
    u = tl.zeros((ROWS * COLUMNS, CHANNELS), tl.float32) + tl.load(bias, mask=named, other=0.0)[None, :]
    v = tl.zeros((ROWS * COLUMNS, CHANNELS), tl.float32) + tl.load(bias + channels, mask=named, other=0.0)[None, :]
    for tap in range(9):
        from_row, from_column = row + (tap // 3 - 1), column + (tap % 3 - 1)
        inside = (from_row >= 0) & (from_row < height) & (from_column >= 0) & (from_column < width)
        mask = inside[:, None] & named[None, :]
        at = x + (first_pixel + from_row * width + from_column)[:, None] * (2 * channels) + c[None, :]
        tap_u = tl.load(weight, mask=named, other=0.0).to(tl.float32)[None, :]
        tap_v = tl.load(weight + channels, mask=named, other=0.0).to(tl.float32)[None, :]
        u += tap_u * tl.load(at, mask=mask, other=0.0).to(tl.float32)
        v += tap_v * tl.load(at + channels, mask=mask, other=0.0).to(tl.float32)
        weight += 2 * channels
    mask = ((row < height) & (column < width))[:, None] & named[None, :]
    at = (first_pixel + row * width + column)[:, None] * channels
    grad = tl.load(dy + at + c[None, :], mask=mask, other=0.0).to(tl.float32)
    grad += tl.load(dsums + image * channels + c, mask=named, other=0.0)[None, :]
    at = d + 2 * at + c[None, :]
    tl.store(at, (grad * v).to(d.dtype.element_ty), mask=mask)
    tl.store(at + channels, (grad * u).to(d.dtype.element_ty), mask=mask)


@triton.jit
def depthwise_grad_kernel(
    x, weight, index, d, dx, partial, height, width, channels,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """dx = d convolved with the flipped taps, and the tile's sums for each tap and the bias in `partial`.

    A pixel of x and the nine of d that it helped to make give both: dx sums d * tap over the taps, a tap's gradient
    sums d * x over the pixels. `partial` is [B, tiles, 10, channels], the bias last.
    """
    tile, image = tl.program_id(0), tl.program_id(2)
    column_tiles = tl.cdiv(width, COLUMNS)
    pixel = tl.arange(0, ROWS * COLUMNS)
    row = tile // column_tiles * ROWS + pixel // COLUMNS
    column = tile % column_tiles * COLUMNS + pixel % COLUMNS
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    named = c < channels
    weight += tl.load(index + image).to(tl.int64) * 9 * channels + c
    first_pixel = image.to(tl.int64) * height * width
    partial += (image.to(tl.int64) * tl.num_programs(0) + tile) * 10 * channels + c
    own = (first_pixel + row * width + column)[:, None] * channels + c[None, :]
    own_mask = ((row < height) & (column < width))[:, None] & named[None, :]
    x_tile = tl.load(x + own, mask=own_mask, other=0.0).to(tl.float32)
    total = tl.zeros((ROWS * COLUMNS, CHANNELS), tl.float32)
    for tap in range(9):
        to_row, to_column = row - (tap // 3 - 1), column - (tap % 3 - 1)
        inside = (to_row >= 0) & (to_row < height) & (to_column >= 0) & (to_column < width)
        at = d + (first_pixel + to_row * width + to_column)[:, None] * channels + c[None, :]
        d_tile = tl.load(at, mask=own_mask & inside[:, None], other=0.0).to(tl.float32)
        total += d_tile * tl.load(weight, mask=named, other=0.0).to(tl.float32)[None, :]
        tl.store(partial, tl.sum(d_tile * x_tile, axis=0), mask=named)
        weight += channels
        partial += channels
    d_tile = tl.load(d + own, mask=own_mask, other=0.0).to(tl.float32)
    tl.store(partial, tl.sum(d_tile, axis=0), mask=named)
    tl.store(dx + own, total.to(dx.dtype.element_ty), mask=own_mask)
