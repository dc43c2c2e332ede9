"""Triton kernel of the local mean: a running sum along one axis, called once for rows and once for columns."""

import triton
import triton.language as tl


@triton.jit
def local_mean_kernel(
    x, y, length, width, window, per_window,
    STEPS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """y[n, i, :] = per_window * sum of x[n, i : i + window, :], for x [N, length, width] and every full window.

    A program carries the sum over STEPS windows, adding the entry that comes and subtracting the one that goes; it
    starts from a direct sum, so that rounding errors gather over STEPS additions at most.
    """
    outputs = length - window + 1
    segments = tl.cdiv(outputs, STEPS)
    first = tl.program_id(0) % segments * STEPS
    outer = (tl.program_id(0) // segments).to(tl.int64)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = column < width
    leaving = x + (outer * length + first) * width + column
    entering = leaving
    at = y + (outer * outputs + first) * width + column
    total = tl.zeros((WIDTH,), tl.float32)
    for _ in range(window):
        total += tl.load(entering, mask=inside, other=0.0).to(tl.float32)
        entering += width
    tl.store(at, (total * per_window).to(y.dtype.element_ty), mask=inside)
    for _ in range(1, tl.minimum(STEPS, outputs - first)):
        at += width
        total += tl.load(entering, mask=inside, other=0.0).to(tl.float32)
        total -= tl.load(leaving, mask=inside, other=0.0).to(tl.float32)
        entering += width
        leaving += width
        tl.store(at, (total * per_window).to(y.dtype.element_ty), mask=inside)
