"""The depthwise 3x3 convolution with SimpleGate, NHWC, and its gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor


def depthwise_gate(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """A depthwise 3x3 convolution, SimpleGate, and the sums that the channel attention pools.

    Args:
        x: `[B, H, W, 2C]`.
        weight: `[U, 9, 2C]`, taps row by row.
        bias: `[U, 2C]`.
        index: `[B]` integers, the weight set of each image.

    Returns:
        y `[B, H, W, C]` with x's dtype, and its sums over the pixels `[B, C]` in float32 or x's wider dtype.
    """
    y = F.conv2d(*_as_groups(x, weight, bias, index), padding=1, groups=x.shape[0] * x.shape[3])
    u, v = y.view(x.shape[0], x.shape[3], *x.shape[1:3]).permute(0, 2, 3, 1).chunk(2, dim=-1)
    gated = (u * v).contiguous()
    return gated, gated.sum((1, 2), dtype=torch.promote_types(x.dtype, torch.float32))


def depthwise_gate_backward(
    dy: Tensor, dsums: Tensor, x: Tensor, weight: Tensor, bias: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of `depthwise_gate`, whose results y and sums have the gradients `dy` and `dsums`.

    Returns:
        dx `[B, H, W, 2C]` with x's dtype, and each image's own gradients of taps and bias, `[B, 10, 2C]` (the
        bias last) in float32 or x's wider dtype: sum them over the images of each set.
    """
    batch, height, width, channels = x.shape
    groups = batch * channels
    maps, taps, biases = _as_groups(x, weight, bias, index)
    u, v = F.conv2d(maps, taps, biases, padding=1, groups=groups).view(batch, channels, height, width).chunk(2, dim=1)
    gated = dy.permute(0, 3, 1, 2) + dsums[:, :, None, None].to(dy.dtype)
    d = torch.cat([gated * v, gated * u], dim=1).reshape(maps.shape)
    dx, dtaps, dbias = torch.ops.aten.convolution_backward(
        d, maps, taps, [groups], [1, 1], [1, 1], [1, 1], False, [0, 0], groups, [True, True, True]
    )
    own = torch.cat([dtaps.view(batch, channels, 9), dbias.view(batch, channels, 1)], dim=2).transpose(1, 2)
    dx = dx.view(batch, channels, height, width).permute(0, 2, 3, 1)
    return dx, own.to(torch.promote_types(x.dtype, torch.float32))


def _as_groups(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What F.conv2d takes for a depthwise convolution of each image by its own set: every map a group."""
    chosen = index.long()
    maps = x.permute(0, 3, 1, 2).flatten(0, 1)[None]
    taps = weight[chosen].to(x.dtype).transpose(1, 2).reshape(-1, 1, 3, 3)
    return maps, taps, bias[chosen].to(x.dtype).flatten()
