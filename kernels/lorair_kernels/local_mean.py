"""The local mean of TLSC (arXiv 2112.04491) over `[B, H, W, C]`, by running sums along each axis."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lorair_kernels.backend import GradContext, device_of, runs_triton
from lorair_kernels.launch import LOCAL_MEAN, cdiv, tile_for
from lorair_kernels.reference import local_mean as reference_local_mean


@torch.library.custom_op("lorair::local_mean", mutates_args=())
def local_mean_nhwc(x: Tensor, window_height: int, window_width: int) -> Tensor:
    """Mean over every full window of the map, stride 1, sums in float32. Differentiable in x.

    Args:
        x: `[B, H, W, C]` floating.
        window_height, window_width: at most H and W.

    Returns:
        `[B, H - window_height + 1, W - window_width + 1, C]` with x's dtype.
    """
    if not runs_triton(x):
        means = reference_local_mean(x.permute(0, 3, 1, 2), (window_height, window_width))
        return means.permute(0, 2, 3, 1).contiguous()
    batch, height, width, channels = x.shape
    rows = height - window_height + 1
    sums = _running_means(x.contiguous().view(batch, height, width * channels), window_height, torch.float32)
    means = _running_means(sums.view(batch * rows, width, channels), window_width, x.dtype)
    return means.view(batch, rows, -1, channels)


@local_mean_nhwc.register_fake
def _(x: Tensor, window_height: int, window_width: int) -> Tensor:
    batch, height, width, channels = x.shape
    return x.new_empty((batch, height - window_height + 1, width - window_width + 1, channels))


def _save(ctx: GradContext, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *ctx.window = inputs


def _backward(ctx: GradContext, grad: Tensor) -> tuple[Tensor | None, ...]:
    """A pixel is in every window that reaches it, so its gradient is a mean of the same size over the windows'."""
    height, width = ctx.window
    around = F.pad(grad, (0, 0, width - 1, width - 1, height - 1, height - 1))
    return local_mean_nhwc(around, height, width), None, None


local_mean_nhwc.register_autograd(_backward, setup_context=_save)


def _running_means(x: Tensor, window: int, dtype: torch.dtype) -> Tensor:
    """Means over windows of the middle axis: `[N, L, K]` contiguous -> `[N, L - window + 1, K]` of `dtype`."""
    from lorair_kernels.local_mean_triton import local_mean_kernel

    outer, length, width = x.shape
    tile = tile_for(LOCAL_MEAN, x)
    steps = length - window + 1
    y = torch.empty(outer, steps, width, dtype=dtype, device=x.device)
    grid = (outer * cdiv(steps, tile.steps), cdiv(width, tile.width))
    with device_of(x):
        local_mean_kernel[grid](x, y, length, width, window, 1 / window, **tile.arguments())
    return y
