"""The local mean of TLSC (arXiv 2112.04491)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def local_mean(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Mean over every full window of the map, stride 1, by running sums (TLSC, arXiv 2112.04491).

    The sums run in float32 along one axis at a time: a 16-bit prefix sum overflows, and one over both axes
    loses digits with the area.

    Args:
        x: `[B, C, H, W]`.
        window: height and width of the window, at most H and W.

    Returns:
        `[B, C, H - window_h + 1, W - window_w + 1]` with x's dtype.
    """
    sums = x.to(torch.promote_types(x.dtype, torch.float32))
    for axis, size in zip((-2, -1), window, strict=True):
        running = F.pad(sums.cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
        steps = x.shape[axis] - size + 1
        sums = (running.narrow(axis, size, steps) - running.narrow(axis, 0, steps)) / size
    return sums.to(x.dtype)
