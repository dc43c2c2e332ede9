"""The channel attention as a scaling of the weights that follow it."""

import torch
from torch import Tensor


def attention_weights(
    sums: Tensor, weight: Tensor, bias: Tensor, following: Tensor, index: Tensor, pixels: int
) -> Tensor:
    """The next 1x1 convolution's weights with the channel attention's scales in their columns.

    `following diag(weight mean + bias)`: scaling a convolution's input is scaling its columns, which are fewer.

    Args:
        sums: `[B, C]` float, the channels' sums over `pixels` pixels.
        weight: `[U, C, C]`, the attention's 1x1 convolution; bias `[U, C]`.
        following: `[U, N, C]`, the weights of the convolution that follows.
        index: `[B]` integers, the weight set of each image.

    Returns:
        `[B, N, C]` with the dtype of `following`.
    """
    chosen = index.long()
    scales = torch.einsum("bnk,bk->bn", weight[chosen].to(sums.dtype), sums / pixels) + bias[chosen].to(sums.dtype)
    return (following[chosen].to(sums.dtype) * scales[:, None]).to(following.dtype)
