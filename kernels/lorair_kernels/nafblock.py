"""The fused NAFBlock for inference: six launches, NHWC, every image with its own weight set.

Activations are ``[B, H, W, C]`` of float16, bfloat16 or float32; weights have the same dtype, biases, row sums and
statistics are float32. ``index`` int32 [B] names the weight set of each image, on the device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorair_kernels import reference
from lorair_kernels.backend import device_of, runs_triton
from lorair_kernels.plan import ATTENTION, DEPTHWISE, pointwise_tile
from lorair_kernels.tlsc import local_mean_nhwc


def _tiles(length: int, side: int) -> int:
    return -(-length // side)


@torch.library.custom_op("lorair::pointwise", mutates_args=())
def pointwise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    index: Tensor,
    row_sums: Tensor | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
) -> Tensor:
    """A 1x1 convolution, ``residual + gate(W norm(x) + b)`` with W and b of each image's set, in one launch.

    Args:
        x: ``[B, H, W, K]``.
        weight: ``[U, N, K]`` with x's dtype.
        bias: ``[U, N]`` float32.
        index: ``[B]`` int32.
        row_sums: ``[U, N]`` float32, the sums over K of the rounded weight; given, x is layer-normalised first
            (eps 1e-6, the affine folded into weight and bias).
        residual: ``[B, H, W, N]`` with x's dtype, added last; not with ``gated``.
        gated: multiply the two halves of the N channels, leaving N/2.

    Returns:
        ``[B, H, W, N]`` or N/2 channels, contiguous, with x's dtype.
    """
    if weight.dtype != x.dtype or weight.shape[-1] != x.shape[-1] or index.dtype != torch.int32:
        raise ValueError(
            f"weight must be [U, N, {x.shape[-1]}] of {x.dtype} and index int32, for x {tuple(x.shape)}; "
            f"got {tuple(weight.shape)} of {weight.dtype}, and {index.dtype}"
        )
    if not runs_triton(x):
        y = reference.pointwise(x, weight, bias, index, normalised=row_sums is not None, residual=residual, gated=gated)
        return y.contiguous()
    from lorair_kernels.nafblock_triton import pointwise_kernel

    batch, height, width, channels = x.shape
    outputs = weight.shape[1] // (2 if gated else 1)
    tile = pointwise_tile(x.dtype, gated, height * width)
    y = x.new_empty(batch, height, width, outputs)
    programs = _tiles(height * width, tile.tokens) * _tiles(outputs, tile.outputs)
    with device_of(x):
        pointwise_kernel[(programs, batch)](
            x.contiguous(), weight.contiguous(), bias.contiguous(),
            bias if row_sums is None else row_sums.contiguous(),
            x if residual is None else residual.contiguous(),
            index, y, height * width, channels, outputs,
            **tile.arguments(
                NORMALISED=row_sums is not None, GATED=gated, RESIDUAL=residual is not None, EPS=reference.EPS
            ),
        )  # fmt: skip
    return y


@pointwise.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    index: Tensor,
    row_sums: Tensor | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
) -> Tensor:
    return x.new_empty((*x.shape[:3], weight.shape[1] // (2 if gated else 1)))


@torch.library.custom_op("lorair::depthwise_gate", mutates_args=())
def depthwise_gate(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """A depthwise 3x3 convolution, SimpleGate and the pool's sums; arguments and results as in the reference.

    The sums are taken from the unrounded products, tile by tile, in an order that does not change.
    """
    if weight.dtype != x.dtype or weight.shape[1:] != (9, x.shape[-1]) or index.dtype != torch.int32:
        raise ValueError(
            f"weight must be [U, 9, {x.shape[-1]}] of {x.dtype} and index int32, for x {tuple(x.shape)}; "
            f"got {tuple(weight.shape)} of {weight.dtype}, and {index.dtype}"
        )
    if not runs_triton(x):
        y, sums = reference.depthwise_gate(x, weight, bias, index)
        return y, sums.float()
    from lorair_kernels.nafblock_triton import depthwise_gate_kernel

    batch, height, width, channels = x.shape[0], x.shape[1], x.shape[2], x.shape[3] // 2
    tiles = _tiles(height, DEPTHWISE.rows) * _tiles(width, DEPTHWISE.columns)
    y = x.new_empty(batch, height, width, channels)
    partial = torch.empty(batch, tiles, channels, dtype=torch.float32, device=x.device)
    with device_of(x):
        depthwise_gate_kernel[(tiles, _tiles(channels, DEPTHWISE.channels), batch)](
            x.contiguous(), weight.contiguous(), bias.contiguous(), index, y, partial, height, width, channels,
            **DEPTHWISE.arguments(),
        )  # fmt: skip
    return y, partial.sum(1)


@depthwise_gate.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    batch, height, width, channels = x.shape
    sums = x.new_empty((batch, channels // 2), dtype=torch.float32)
    return x.new_empty((batch, height, width, channels // 2)), sums


@torch.library.custom_op("lorair::attention_weights", mutates_args=())
def attention_weights(
    sums: Tensor, weight: Tensor, bias: Tensor, following: Tensor, index: Tensor, pixels: int
) -> Tensor:
    """The weights of the convolution after the channel attention, scaled by it; arguments as in the reference."""
    if not runs_triton(following):
        return reference.attention_weights(sums, weight, bias, following, index, pixels)
    from lorair_kernels.nafblock_triton import attention_weights_kernel

    batch, channels = sums.shape
    outputs = following.shape[1]
    out = following.new_empty(batch, outputs, channels)
    with device_of(sums):
        attention_weights_kernel[(_tiles(outputs, ATTENTION.outputs), _tiles(channels, ATTENTION.channels), batch)](
            sums.contiguous(), weight.contiguous(), bias.contiguous(), following.contiguous(), index, out,
            1 / pixels, channels, outputs, **ATTENTION.arguments(),
        )  # fmt: skip
    return out


@attention_weights.register_fake
def _(sums: Tensor, weight: Tensor, bias: Tensor, following: Tensor, index: Tensor, pixels: int) -> Tensor:
    return following.new_empty((sums.shape[0], *following.shape[1:]))


@dataclass(frozen=True)
class Folded:
    """A convolution's weight sets: weight ``[U, N, K]`` rounded to the storage dtype, bias and row sums ``[U, N]``."""

    weight: Tensor
    bias: Tensor
    row_sums: Tensor

    @classmethod
    def round(cls, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> "Folded":
        rounded = weight.to(dtype)
        sums = rounded.float().sum(-1)
        return cls(rounded.contiguous(), bias.float().expand_as(sums).contiguous(), sums)


@dataclass(frozen=True)
class BlockWeights:
    """The convolutions of a NAFBlock with norms and residual scales folded in; conv2's taps are ``[U, 9, 2C]``."""

    conv1: Folded
    conv2: Folded
    attention: Folded
    conv3: Folded
    conv4: Folded
    conv5: Folded

    @classmethod
    def fold(cls, block: Mapping[str, Tensor], dtype: torch.dtype) -> "BlockWeights":
        """Fold once, in float32: W (norm * w + b) = (W diag(w)) norm + W b, and beta (W x + b) = (beta W) x + beta b.

        Args:
            block: the tensors of a NAFBlock by name: convolution weights ``[U, cout, cin/groups, k, k]``, the
                rest as the block holds it (``conv1.bias``, ``norm1.weight``, ``beta``, ``attention.conv.bias``, ...).
            dtype: of the weights in the result.
        """
        tensors = {name: tensor.detach().float() for name, tensor in block.items()}

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
                taps.transpose(1, 2).to(dtype).contiguous(), tap_bias.expand(len(taps), -1).contiguous(), taps.sum(-1)
            ),
            attention=Folded.round(*matrix("attention.conv"), dtype),
            conv3=before_residual("conv3", tensors["beta"]),
            conv4=after_norm("conv4", "norm2"),
            conv5=before_residual("conv5", tensors["gamma"]),
        )


def naf_block(x: Tensor, weights: BlockWeights, index: Tensor, window: tuple[int, int] | None = None) -> Tensor:
    """NAFNet's block (arXiv 2204.04676): ``[B, H, W, C]`` -> the same.

    Args:
        x: ``[B, H, W, C]`` with the weights' dtype.
        weights: U folded weight sets.
        index: ``[B]`` int32, the set of each image.
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
    y = pointwise(x, w.conv4.weight, w.conv4.bias, index, row_sums=w.conv4.row_sums, gated=True)
    return pointwise(y, w.conv5.weight, w.conv5.bias, index, residual=x)


def spread_edges(x: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat the edge rows and columns of ``[B, h, w, C]`` until the map has ``size``, as much on both sides."""
    height, width = (
        (torch.arange(full, device=x.device) - (full - part) // 2).clamp(0, part - 1)
        for full, part in zip(size, x.shape[1:3], strict=True)
    )
    return x[:, height[:, None], width]
