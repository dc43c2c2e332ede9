"""NAFNet's block by the fused operations, NHWC, every image with its own weight set.

Activations are `[B, H, W, C]` of float16, bfloat16 or float32; weights have the same dtype, biases, row sums and
statistics are float32. `index` int32 [B] names the weight set of each image, on the device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorair_kernels.attention_weights import attention_weights
from lorair_kernels.depthwise_gate import depthwise_gate
from lorair_kernels.feed_forward import feed_forward
from lorair_kernels.launch import FEED_FORWARD, find_tile
from lorair_kernels.local_mean import local_mean_nhwc
from lorair_kernels.pointwise import pointwise


@dataclass(frozen=True)
class Folded:
    """A convolution's weight sets: weight `[U, N, K]` rounded to the storage dtype, bias and row sums `[U, N]`."""

    weight: Tensor
    bias: Tensor
    row_sums: Tensor

    @classmethod
    def round(cls, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> "Folded":
        rounded = weight.to(dtype)
        sums = rounded.detach().float().sum(-1)
        return cls(rounded.contiguous(), bias.float().expand_as(sums).contiguous(), sums)


@dataclass(frozen=True)
class BlockWeights:
    """The convolutions of a NAFBlock with norms and residual scales folded in; conv2's taps are `[U, 9, 2C]`."""

    conv1: Folded
    conv2: Folded
    attention: Folded
    conv3: Folded
    conv4: Folded
    conv5: Folded

    @classmethod
    def fold(cls, block: Mapping[str, Tensor], dtype: torch.dtype) -> "BlockWeights":
        """Fold once, in float32: W (norm * w + b) = (W diag(w)) norm + W b, and beta (W x + b) = (beta W) x + beta b.

        Differentiable in every tensor of the block.

        Args:
            block: the tensors of a NAFBlock by name: convolution weights `[U, cout, cin/groups, k, k]`, the
                rest as the block holds it (`conv1.bias`, `norm1.weight`, `beta`, `attention.conv.bias`, ...).
            dtype: of the weights in the result.
        """
        tensors = {name: tensor.float() for name, tensor in block.items()}

        def matrix(name: str) -> tuple[Tensor, Tensor]:
            return tensors[f"{name}.weight"].flatten(2), tensors[f"{name}.bias"]

        def after_norm(name: str, norm: str) -> Folded:
            weight, bias = matrix(name)
            shifted = bias + weight @ tensors[f"{norm}.bias"]
            return Folded.round(weight * tensors[f"{norm}.weight"], shifted, dtype)

        def before_residual(name: str, scale: Tensor) -> Folded:
            weight, bias = matrix(name)
            return Folded.round(scale.flatten()[:, None] * weight, scale.flatten() * bias, dtype)

        taps, tap_bias = matrix("conv2")
        return cls(
            conv1=after_norm("conv1", "norm1"),
            conv2=Folded(
                taps.transpose(1, 2).to(dtype).contiguous(),
                tap_bias.expand(len(taps), -1).contiguous(),
                taps.detach().sum(-1),
            ),
            attention=Folded.round(*matrix("attention.conv"), dtype),
            conv3=before_residual("conv3", tensors["beta"]),
            conv4=after_norm("conv4", "norm2"),
            conv5=before_residual("conv5", tensors["gamma"]),
        )


def naf_block(x: Tensor, weights: BlockWeights, index: Tensor, window: tuple[int, int] | None = None) -> Tensor:
    """NAFNet's block (arXiv 2204.04676): `[B, H, W, C]` -> the same.

    Args:
        x: `[B, H, W, C]` with the weights' dtype.
        weights: U folded weight sets.
        index: `[B]` int32, the set of each image.
        window: height and width of the channel attention's pooling window (TLSC, arXiv 2112.04491), at most H and W;
            None for the whole map.
    """
    w = weights
    y = pointwise(x, w.conv1.weight, w.conv1.bias, index, row_sums=w.conv1.row_sums)
    y, sums = depthwise_gate(y, w.conv2.weight, w.conv2.bias, index)
    if window is None:
        pixels = x.shape[1] * x.shape[2]
        scaled = attention_weights(sums, w.attention.weight, w.attention.bias, w.conv3.weight, index, pixels)
        own = torch.arange(x.shape[0], dtype=torch.int32, device=x.device)
        x = pointwise(y, scaled, w.conv3.bias[index], own, residual=x)
    else:
        scales = pointwise(local_mean_nhwc(y, *window), w.attention.weight, w.attention.bias, index)
        y = y * spread_edges(scales, x.shape[1:3])
        x = pointwise(y, w.conv3.weight, w.conv3.bias, index, residual=x)
    if find_tile(FEED_FORWARD, x, tokens=x.shape[1] * x.shape[2], channels=x.shape[3]) is not None:
        return feed_forward(x, w.conv4.weight, w.conv4.bias, w.conv4.row_sums, w.conv5.weight, w.conv5.bias, index)
    y = pointwise(x, w.conv4.weight, w.conv4.bias, index, row_sums=w.conv4.row_sums, gated=True)
    return pointwise(y, w.conv5.weight, w.conv5.bias, index, residual=x)


def spread_edges(x: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat the edge rows and columns of `[B, h, w, C]` until the map has `size`, as much on both sides."""
    height, width = (
        (torch.arange(full, device=x.device) - (full - part) // 2).clamp(0, part - 1)
        for full, part in zip(size, x.shape[1:3], strict=True)
    )
    return x[:, height[:, None], width]
