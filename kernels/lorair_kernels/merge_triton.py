"""Triton kernels of merge_experts: W + s * sum_e g_e B_e A_e for all convolutions in one launch, and its gradients.

A program reads which tile of which convolution is its own from a table of int64 rows
`(weight_at, a_at, b_at, rows, columns, rank, first, second)`: where the convolution's weight and factors start in
the packed buffers, their shape, and the tile's origin along the two axes that the kernel tiles.
All arithmetic is in float32; products of float32 factors take three tf32 products on tensor cores.
"""

import triton
import triton.language as tl


@triton.jit
def table_row(table, at):
    row = table + 8 * at
    weight_at, a_at, b_at = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    rows, columns, rank = tl.load(row + 3).to(tl.int32), tl.load(row + 4).to(tl.int32), tl.load(row + 5).to(tl.int32)
    return weight_at, a_at, b_at, rows, columns, rank, tl.load(row + 6).to(tl.int32), tl.load(row + 7).to(tl.int32)


@triton.jit
def matrix_tile(base, i, j, height, width):
    """Float32 values at rows i and columns j of a row-major matrix of the given height and width, 0 outside it."""
    inside = (i < height)[:, None] & (j < width)[None, :]
    return tl.load(base + i[:, None] * width + j[None, :], mask=inside, other=0.0).to(tl.float32)


@triton.jit
def merge_kernel(
    weights, a, b, gates, table, out, scale, numel, sets,
    EXPERTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, RANK: tl.constexpr,
):  # fmt: skip
    """out[u] = weights + scale * sum_e gates[u, e] B_e A_e, one tile of a convolution per program."""
    u = tl.program_id(0) % sets
    weight_at, a_at, b_at, rows, columns, rank, row, column = table_row(table, tl.program_id(0) // sets)
    i, j = row + tl.arange(0, ROWS), column + tl.arange(0, COLUMNS)
    delta = tl.zeros((ROWS, COLUMNS), tl.float32)
    for e in range(EXPERTS):
        gate = tl.load(gates + u * EXPERTS + e).to(tl.float32)
        if gate != 0:
            down, up = a + a_at + e * rank * columns, b + b_at + e * rows * rank
            for first in range(0, rank, RANK):
                k = first + tl.arange(0, RANK)
                up_tile = gate * matrix_tile(up, i, k, rows, rank)
                delta = tl.dot(up_tile, matrix_tile(down, k, j, rank, columns), delta, input_precision="tf32x3")
    merged = matrix_tile(weights + weight_at, i, j, rows, columns) + scale * delta
    inside = (i < rows)[:, None] & (j < columns)[None, :]
    at = out + u.to(tl.int64) * numel + weight_at
    tl.store(at + i[:, None] * columns + j[None, :], merged.to(out.dtype.element_ty), mask=inside)


@triton.jit
def merge_grad_a_kernel(
    grad, b, gates, table, grad_a, scale, numel, sets,
    EXPERTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, RANK: tl.constexpr,
):  # fmt: skip
    """grad_a[e] = scale * B_e^T sum_u gates[u, e] grad[u]; a program owns some ranks and columns of one expert."""
    e = tl.program_id(0) % EXPERTS
    weight_at, a_at, b_at, rows, columns, rank, first, column = table_row(table, tl.program_id(0) // EXPERTS)
    k, j = first + tl.arange(0, RANK), column + tl.arange(0, COLUMNS)
    up = b + b_at + e * rows * rank
    total = tl.zeros((RANK, COLUMNS), tl.float32)
    for row in range(0, rows, ROWS):
        i = row + tl.arange(0, ROWS)
        gated = tl.zeros((ROWS, COLUMNS), tl.float32)
        grad_u = grad + weight_at
        for u in range(sets):
            gate = tl.load(gates + u * EXPERTS + e).to(tl.float32)
            if gate != 0:
                gated += gate * matrix_tile(grad_u, i, j, rows, columns)
            grad_u += numel
        up_tile = matrix_tile(up, i, k, rows, rank)
        total = tl.dot(tl.trans(up_tile), gated, total, input_precision="tf32x3")
    inside = (k < rank)[:, None] & (j < columns)[None, :]
    at = grad_a + a_at + e * rank * columns
    tl.store(at + k[:, None] * columns + j[None, :], (scale * total).to(grad_a.dtype.element_ty), mask=inside)


@triton.jit
def merge_grad_b_kernel(
    grad, a, b, gates, table, grad_b, partial, scale, numel, sets,
    EXPERTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, RANK: tl.constexpr,
):  # fmt: skip
    """grad_b[e] = scale * sum_u gates[u, e] h_u with h_u = grad[u] A_e^T; a program owns some rows and ranks.

    The gradient of a gate, scale * <grad[u], B_e A_e>, is scale * <h_u, B_e>: `partial` [tiles, U, E] takes the
    tile's share of it.
    """
    e, tile = tl.program_id(0) % EXPERTS, tl.program_id(0) // EXPERTS
    weight_at, a_at, b_at, rows, columns, rank, row, first = table_row(table, tile)
    i, k = row + tl.arange(0, ROWS), first + tl.arange(0, RANK)
    down = a + a_at + e * rank * columns
    up_tile = matrix_tile(b + b_at + e * rows * rank, i, k, rows, rank)
    total = tl.zeros((ROWS, RANK), tl.float32)
    grad_u = grad + weight_at
    for u in range(sets):
        h = tl.zeros((ROWS, RANK), tl.float32)
        for column in range(0, columns, COLUMNS):
            j = column + tl.arange(0, COLUMNS)
            down_tile = matrix_tile(down, k, j, rank, columns)
            grad_tile = matrix_tile(grad_u, i, j, rows, columns)
            h = tl.dot(grad_tile, tl.trans(down_tile), h, input_precision="tf32x3")
        total += tl.load(gates + u * EXPERTS + e).to(tl.float32) * h
        tl.store(partial + (tile * sets + u) * EXPERTS + e, scale * tl.sum(tl.sum(h * up_tile, axis=1), axis=0))
        grad_u += numel
    inside = (i < rows)[:, None] & (k < rank)[None, :]
    at = grad_b + b_at + e * rows * rank
    tl.store(at + i[:, None] * rank + k[None, :], (scale * total).to(grad_b.dtype.element_ty), mask=inside)
