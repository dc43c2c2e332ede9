"""Each kernel at the sizes of the published restorer."""

from dataclasses import replace

import torch
from torch import Tensor

from lorair_kernels.attention_weights import attention_weights
from lorair_kernels.benchmarks.case import Case, Form
from lorair_kernels.benchmarks.experts_cases import lowrank_case, merge_case
from lorair_kernels.benchmarks.forms import DTYPE, TOLERANCE, TORCH_FACTOR, forms, in_double, map_case
from lorair_kernels.benchmarks.pointwise_cases import down_case, pointwise_case, product_case, up_case
from lorair_kernels.benchmarks.work import (
    attention_work,
    depthwise_work,
    feed_forward_work,
    local_mean_work,
    weight_grad_work,
)
from lorair_kernels.depthwise_gate import depthwise_gate
from lorair_kernels.feed_forward import feed_forward
from lorair_kernels.grouped_weight_grad import grouped_weight_grad
from lorair_kernels.local_mean import local_mean_nhwc
from lorair_kernels.pointwise import pointwise
from lorair_kernels.reference import attention_weights as reference_attention_weights
from lorair_kernels.reference import depthwise_gate as reference_depthwise_gate
from lorair_kernels.reference import feed_forward as reference_feed_forward
from lorair_kernels.reference import grouped_weight_grad as reference_grouped_weight_grad
from lorair_kernels.reference import local_mean as reference_local_mean


def kernel_cases(device: str, width: int = 64, side: int = 1024) -> list[Case]:
    """The case of every kernel, inputs included, for an image of `side` pixels; add a new kernel's here.

    `width` is the channels of the first level; its blocks are measured at half the image's side, those of the
    fourth level, with eight times the channels, at an eighth of it.
    """
    torch.manual_seed(0)
    return [
        merge_case(width, device),
        pointwise_case(width, side // 2, device),
        pointwise_case(8 * width, side // 8, device),
        product_case(8 * width, side // 8, device),
        down_case(width, side // 2, device),
        up_case(2 * width, side // 4, device),
        depthwise_case(width, side // 2, device),
        depthwise_case(8 * width, side // 8, device),
        feed_forward_case(width, side // 2, device),
        feed_forward_case(4 * width, side // 4, device),
        lowrank_case(8 * width, side // 8, device),
        weight_grad_case(8 * width, side // 8, device),
        attention_case(8 * width, device),
        local_mean_case(width, side // 2, side * 3 // 8, device),
    ]


def depthwise_case(channels: int, side: int, device: str) -> Case:
    """conv2 of a block with gate and sums, 2C -> C, where `channels` is C."""
    x = torch.randn(1, side, side, 2 * channels, device=device).to(DTYPE)
    weight = torch.randn(1, 9, 2 * channels, device=device).to(DTYPE)
    bias, index = torch.randn(1, 2 * channels, device=device), torch.zeros(1, dtype=torch.int32, device=device)
    work = depthwise_work(side**2, channels, DTYPE.itemsize)
    return map_case("depthwise_gate", x, work, depthwise_gate, reference_depthwise_gate, (x, weight, bias, index))


def feed_forward_case(channels: int, side: int, device: str) -> Case:
    """Both 1x1 convolutions of the block's second half, compared with two launches of `pointwise`."""
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)
    w4, w5 = ((torch.randn(1, n * channels, channels, device=device) / channels**0.5).to(DTYPE) for n in (2, 1))
    b4, b5 = (torch.randn(1, n * channels, device=device) for n in (2, 1))
    row_sums, index = w4.float().sum(-1), torch.zeros(1, dtype=torch.int32, device=device)

    def kernel(x: Tensor, w4: Tensor, b4: Tensor, w5: Tensor, b5: Tensor, index: Tensor) -> Tensor:
        return feed_forward(x, w4, b4, row_sums, w5, b5, index)

    def two_launches(x: Tensor, w4: Tensor, b4: Tensor, w5: Tensor, b5: Tensor, index: Tensor) -> Tensor:
        return pointwise(pointwise(x, w4, b4, index, row_sums, None, True), w5, b5, index, None, x)

    arguments = (x, w4, b4, w5, b5, index)
    work = feed_forward_work(side**2, channels, DTYPE.itemsize)
    case = map_case("feed_forward", x, work, kernel, reference_feed_forward, arguments)
    two = Form(two_launches, arguments, TORCH_FACTOR * TOLERANCE[DTYPE], "graph")
    return replace(case, forms={**case.forms, "pointwise twice": two})


def weight_grad_case(channels: int, side: int, device: str) -> Case:
    """The gradient of conv1's weight, C -> 2C."""
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)
    dy = torch.randn(1, side, side, 2 * channels, device=device).to(DTYPE)
    work = weight_grad_work(side**2, channels, 2 * channels, DTYPE.itemsize)
    arguments = (x, dy, torch.zeros(1, dtype=torch.int32, device=device), 1)
    return map_case("grouped_weight_grad", x, work, grouped_weight_grad, reference_grouped_weight_grad, arguments)


def attention_case(channels: int, device: str, batch: int = 4) -> Case:
    """The channel attention folded into conv3's weights."""
    sums, index = torch.randn(batch, channels, device=device), torch.zeros(batch, dtype=torch.int32, device=device)
    weight, following = (torch.randn(2, 1, channels, channels, device=device) / channels**0.5).to(DTYPE).unbind()
    bias = torch.ones(1, channels, device=device)
    arguments = (sums, weight, bias, following, index, 1024)
    work = attention_work(batch, channels, DTYPE.itemsize)
    compared = forms(attention_weights, reference_attention_weights, arguments, DTYPE)
    exact = in_double(reference_attention_weights, arguments)
    return Case("attention_weights", f"batch {batch}, C {channels}", DTYPE, (work,), compared, exact)


def local_mean_case(channels: int, side: int, window: int, device: str) -> Case:
    """The local mean over `window` x `window` pixels."""
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)

    def kernel(x: Tensor) -> Tensor:
        return local_mean_nhwc(x, window, window)

    def plain(x: Tensor) -> Tensor:
        return reference_local_mean(x.permute(0, 3, 1, 2), (window, window)).permute(0, 2, 3, 1)

    work = local_mean_work(side**2, (side - window + 1) ** 2, channels, DTYPE.itemsize)
    return map_case("local_mean", x, work, kernel, plain, (x,))
