"""The feed-forward half of NAFNet's block, NHWC."""

from torch import Tensor

from lorair_kernels.reference.pointwise import pointwise


def feed_forward(x: Tensor, w4: Tensor, b4: Tensor, w5: Tensor, b5: Tensor, index: Tensor) -> Tensor:
    """The feed-forward half of NAFNet's block (arXiv 2204.04676), `x + W5 gate(W4 norm(x) + b4) + b5`.

    Args:
        x: `[B, H, W, C]`, layer-normalised inside (eps 1e-6, no affine: fold it).
        w4: `[U, 2C, C]`, b4 `[U, 2C]`.
        w5: `[U, C, C]`, the residual scale folded in; b5 `[U, C]`.
        index: `[B]` integers, the weight set of each image.

    Returns:
        `[B, H, W, C]` with x's dtype.
    """
    z = pointwise(x, w4, b4, index, normalised=True, residual=None, gated=True)
    return pointwise(z, w5, b5, index, normalised=False, residual=x, gated=False)
