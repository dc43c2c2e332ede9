"""The 1x1 convolution of NHWC images, each with its own weight set."""

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6


def to_squares(x: Tensor) -> Tensor:
    """`[B, 2H, 2W, C]` -> `[B, H, W, 4C]`: the channels of a 2x2 square of pixels, row by row."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(2, 3)
    return squares.reshape(batch, height // 2, width // 2, 4 * channels)


def from_squares(x: Tensor) -> Tensor:
    """The inverse of `to_squares`."""
    batch, height, width, channels = x.shape
    pixels = x.reshape(batch, height, width, 2, 2, channels // 4).transpose(2, 3)
    return pixels.reshape(batch, 2 * height, 2 * width, channels // 4)


def pointwise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    index: Tensor,
    *,
    normalised: bool,
    residual: Tensor | None,
    gated: bool,
    squares: str = "",
) -> Tensor:
    """A 1x1 convolution with each image's own weights, `residual + gate(weight[index] norm(x) + bias[index])`.

    Args:
        x: `[B, H, W, K]`.
        weight: `[U, N, K]` weight sets.
        bias: `[U, N]`.
        index: `[B]` integers, the weight set of each image.
        normalised: whether x is layer-normalised over its channels first (eps 1e-6, no affine: fold it).
        residual: `[B, H, W, N]` to add, or None.
        gated: whether the N channels' halves are multiplied (SimpleGate of NAFNet, arXiv 2204.04676), leaving N/2.
        squares: `"read"`: a 2x2 convolution of stride 2, where x is `[B, 2H, 2W, K/4]` and passes
            `to_squares`; `"write"`: a pixel shuffle, where what is returned and added is `[B, 2H, 2W, N/4]`,
            by `from_squares`.

    Returns:
        `[B, H, W, N]`, or N/2 channels where gated, with x's dtype.
    """
    chosen = index.long()
    if squares == "read":
        x = to_squares(x)
    y = F.layer_norm(x, x.shape[-1:], eps=EPS) if normalised else x
    y = torch.einsum("bhwk,bnk->bhwn", y, weight[chosen].to(x.dtype)) + bias[chosen, None, None].to(x.dtype)
    if gated:
        u, v = y.chunk(2, dim=-1)
        y = u * v
    if squares == "write":
        y = from_squares(y)
    return y if residual is None else residual + y
