"""The gated low-rank operations in plain torch: any floating dtype, any device, differentiable."""

from collections.abc import Sequence

import torch
from torch import Tensor


def expert_delta(a: Tensor, b: Tensor, gates: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum of the gated experts, ``sum_e gates[e] * view(b[e] @ a[e], shape)`` (LoRA-IR, arXiv 2410.15385).

    Written as one product of the rank-stacked factors, so that the experts cost one matrix product and an
    exporter cannot fold them into full-size copies of the weight.

    Args:
        a: ``[E, r*k, cin*k]``, down-projections of E experts of rank r for a k x k convolution.
        b: ``[E, (cout/groups)*k, r*k]``, up-projections.
        gates: ``[E]``, one gate per expert.
        shape: the convolution weight's shape, ``[cout, cin/groups, k, k]``; the product is viewed row-major.

    Returns:
        The delta with the given shape and the factors' dtype.
    """
    stacked_a = a.flatten(0, 1)
    stacked_b = (b * gates.to(b.dtype)[:, None, None]).transpose(0, 1).flatten(1)
    return (stacked_b @ stacked_a).reshape(tuple(shape))


def merge_experts(weight: Tensor, a: Tensor, b: Tensor, gates: Tensor, scale: float) -> Tensor:
    """One image's effective weight, ``weight + scale * expert_delta``, with the weight's shape and dtype.

    Args:
        weight: ``[cout, cin/groups, k, k]``.
        a, b, gates: as in :func:`expert_delta`.
        scale: alpha / rank, 2 in the published models.
    """
    return torch.add(weight, expert_delta(a, b, gates, weight.shape), alpha=scale)


def local_mean(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Mean over every full window of the map, stride 1, by running sums (TLSC, arXiv 2112.04491).

    The sums run in float32 along one axis at a time: a 16-bit prefix sum overflows, and one over both axes
    loses digits with the area.

    Args:
        x: ``[B, C, H, W]``.
        window: height and width of the window, at most H and W.

    Returns:
        ``[B, C, H - window_h + 1, W - window_w + 1]`` with x's dtype.
    """
    sums = x.to(torch.promote_types(x.dtype, torch.float32))
    for axis, size in zip((-2, -1), window, strict=True):
        running = torch.nn.functional.pad(sums.cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
        steps = x.shape[axis] - size + 1
        sums = (running.narrow(axis, size, steps) - running.narrow(axis, 0, steps)) / size
    return sums.to(x.dtype)
