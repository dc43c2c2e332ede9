"""The 1x1 convolution: in a block, plain next to cuBLAS, and as the restorer's down and up convolutions."""

from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from lorair_kernels.benchmarks.case import Case, Form
from lorair_kernels.benchmarks.forms import DTYPE, TOLERANCE, TORCH_FACTOR, map_case
from lorair_kernels.benchmarks.work import convolution_work
from lorair_kernels.pointwise import pointwise
from lorair_kernels.reference import pointwise as reference_pointwise


def pointwise_case(channels: int, side: int, device: str) -> Case:
    """conv1 of a block: layer norm, C -> 2C."""
    x, weight, bias, index = pointwise_inputs(channels, side, device)
    row_sums = weight.float().sum(-1)

    def kernel(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> Tensor:
        return pointwise(x, weight, bias, index, row_sums)

    plain = partial(reference_pointwise, normalised=True, residual=None, gated=False)
    work = convolution_work(side**2, channels, 2 * channels, DTYPE.itemsize)
    return map_case("norm, pointwise", x, work, kernel, plain, (x, weight, bias, index))


def product_case(channels: int, side: int, device: str) -> Case:
    """The same without the norm, which is one cuBLAS product."""
    arguments = pointwise_inputs(channels, side, device)
    plain = partial(reference_pointwise, normalised=False, residual=None, gated=False)
    work = convolution_work(side**2, channels, 2 * channels, DTYPE.itemsize)
    case = map_case("pointwise", arguments[0], work, pointwise, plain, arguments)
    x, weight, bias, _ = arguments
    cublas = Form(F.linear, (x, weight[0], bias[0].to(DTYPE)), TORCH_FACTOR * TOLERANCE[DTYPE], "graph")
    return replace(case, forms={**case.forms, "cuBLAS": cublas})


def down_case(channels: int, side: int, device: str) -> Case:
    """The 2x2 convolution of stride 2 that follows a level, C -> 2C."""
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)
    _, weight, bias, index = pointwise_inputs(4 * channels, 1, device)
    weight, bias = weight[:, : 2 * channels].contiguous(), bias[:, : 2 * channels].contiguous()
    kernel = partial(pointwise, squares="read")
    plain = partial(reference_pointwise, normalised=False, residual=None, gated=False, squares="read")
    work = convolution_work((side // 2) ** 2, 4 * channels, 2 * channels, DTYPE.itemsize)
    return map_case("pointwise, down", x, work, kernel, plain, (x, weight, bias, index))


def up_case(channels: int, side: int, device: str) -> Case:
    """The 1x1 convolution that precedes a level, C -> 2C, with pixel shuffle and skip connection."""
    x, weight, bias, index = pointwise_inputs(channels, side, device)
    skip = torch.randn(1, 2 * side, 2 * side, channels // 2, device=device).to(DTYPE)

    def kernel(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor, skip: Tensor) -> Tensor:
        return pointwise(x, weight, bias, index, None, skip, squares="write")

    def plain(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor, skip: Tensor) -> Tensor:
        return reference_pointwise(
            x, weight, bias, index, normalised=False, residual=skip, gated=False, squares="write"
        )

    work = convolution_work(side**2, channels, 2 * channels, DTYPE.itemsize, added=True)
    return map_case("pointwise, up", x, work, kernel, plain, (x, weight, bias, index, skip))


def pointwise_inputs(channels: int, side: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)
    weight = (torch.randn(1, 2 * channels, channels, device=device) / channels**0.5).to(DTYPE)
    return x, weight, torch.randn(1, 2 * channels, device=device), torch.zeros(1, dtype=torch.int32, device=device)
