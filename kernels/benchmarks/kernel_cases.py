"""Each kernel beside torch eager and torch.compile of its reference, at the sizes of the published width."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from arithmetic import (
    Work,
    attention_work,
    convolution_work,
    depthwise_work,
    feed_forward_work,
    local_mean_work,
    lowrank_work,
    merge_work,
    weight_grad_work,
)
from lorair_kernels import (
    PackedExperts,
    attention_weights,
    depthwise_gate,
    feed_forward,
    gated_lowrank,
    grouped_weight_grad,
    local_mean_nhwc,
    merge_experts,
    pointwise,
    reference,
)
from measure import Case, Form, Output
from torch import Tensor

from lorair.model import ExpertConv2d, ModelConfig, RestorationNet

# Relative L2 distance to float32 or wider; a peer, which rounds more often, may have ten times as much.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 6e-3}
PEER = 10
DTYPE = torch.float16


def kernel_cases(config: ModelConfig, device: str, size: int = 1024) -> list[Case]:
    """Every case, its inputs made on ``device`` for an image of ``size`` pixels a side at the first level.

    A new kernel is a function that makes its case, named here.
    """
    torch.manual_seed(0)
    width = config.restorer.width
    deep = 2 ** (len(config.restorer.encoder_blocks) - 1)
    return [
        merge_case(config, device),
        pointwise_case(width, size // 2, device),
        pointwise_case(deep * width, size // deep, device),
        product_case(deep * width, size // deep, device),
        down_case(width, size // 2, device),
        up_case(2 * width, size // 4, device),
        depthwise_case(width, size // 2, device),
        depthwise_case(deep * width, size // deep, device),
        feed_forward_case(width, size // 2, device),
        feed_forward_case(4 * width, size // 4, device),
        lowrank_case(deep * width, size // deep, config, device),
        weight_grad_case(deep * width, size // deep, device),
        attention_case(deep * width, device),
        local_mean_case(width, size // 2, size * 3 // 8, device),
    ]


def forms(
    kernel: Callable[..., Output], plain: Callable[..., Output], arguments: tuple[Any, ...], dtype: torch.dtype
) -> dict[str, Form]:
    """A kernel, and its reference by torch as it is and compiled, all as graphs: no launch of theirs is timed."""
    eager = Form(plain, arguments, PEER * TOLERANCE[dtype], "graph")
    ours = Form(kernel, arguments, TOLERANCE[dtype], "graph")
    return {"triton": ours, "torch eager": eager, "torch.compile": replace(eager, through="compile")}


def in_double(plain: Callable[..., Output], arguments: tuple[Any, ...]) -> Callable[[], Output]:
    """The reference in float64."""
    return lambda: plain(*(wide(argument) for argument in arguments))


def wide(argument: Any) -> Any:  # noqa: ANN401
    return argument.double() if isinstance(argument, Tensor) and argument.is_floating_point() else argument


def merge_case(config: ModelConfig, device: str) -> Case:
    experts = len(config.degradations)
    net = RestorationNet(config.restorer, config.router.prior_dim, experts).to(device, DTYPE)
    convs = [module for module in net.modules() if isinstance(module, ExpertConv2d)]
    weights, a = [conv.weight.detach() for conv in convs], [conv.a.detach() for conv in convs]
    b = [torch.randn_like(conv.b) for conv in convs]
    packed = PackedExperts.pack(weights, a, b, 2.0)
    gates = torch.eye(experts, device=device, dtype=DTYPE)[:1]

    def merged(gates: Tensor) -> Output:
        return tuple(packed.merge(gates))

    def one_by_one(gates: Tensor) -> Output:
        return tuple(merge_experts(*conv, gates[0], 2.0)[None] for conv in zip(weights, a, b, strict=True))

    def exact() -> Output:
        doubles = zip(*([tensor.double() for tensor in kind] for kind in (weights, a, b)), strict=True)
        return tuple(merge_experts(weight, a, b, gates[0].double(), 2.0)[None] for weight, a, b in doubles)

    work = merge_work(packed.shapes, experts, 1, DTYPE.itemsize)
    shape = f"{len(convs)} convolutions"
    return Case("merge", shape, DTYPE, (work,), forms(merged, one_by_one, (gates,), DTYPE), exact)


def pointwise_case(channels: int, side: int, device: str) -> Case:
    """conv1 of a block: layer norm, C -> 2C."""
    x, weight, bias, index = _pointwise_inputs(channels, side, device)
    row_sums = weight.float().sum(-1)

    def kernel(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> Tensor:
        return pointwise(x, weight, bias, index, row_sums)

    plain = partial(reference.pointwise, normalised=True, residual=None, gated=False)
    work = convolution_work(side**2, channels, 2 * channels, DTYPE.itemsize)
    return _map_case("norm, pointwise", x, work, kernel, plain, (x, weight, bias, index))


def product_case(channels: int, side: int, device: str) -> Case:
    """The same without the norm, which cuBLAS does as it is."""
    arguments = _pointwise_inputs(channels, side, device)
    plain = partial(reference.pointwise, normalised=False, residual=None, gated=False)
    work = convolution_work(side**2, channels, 2 * channels, DTYPE.itemsize)
    case = _map_case("pointwise", arguments[0], work, pointwise, plain, arguments)
    x, weight, bias, _ = arguments
    cublas = Form(F.linear, (x, weight[0], bias[0].to(DTYPE)), PEER * TOLERANCE[DTYPE], "graph")
    return replace(case, forms={**case.forms, "cuBLAS": cublas})


def down_case(channels: int, side: int, device: str) -> Case:
    """The 2x2 convolution of stride 2 that follows a level, C -> 2C."""
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)
    _, weight, bias, index = _pointwise_inputs(4 * channels, 1, device)
    weight, bias = weight[:, : 2 * channels].contiguous(), bias[:, : 2 * channels].contiguous()
    kernel = partial(pointwise, squares="read")
    plain = partial(reference.pointwise, normalised=False, residual=None, gated=False, squares="read")
    work = convolution_work((side // 2) ** 2, 4 * channels, 2 * channels, DTYPE.itemsize)
    return _map_case("pointwise, down", x, work, kernel, plain, (x, weight, bias, index))


def up_case(channels: int, side: int, device: str) -> Case:
    """The 1x1 convolution that precedes a level, C -> 2C, with pixel shuffle and skip connection."""
    x, weight, bias, index = _pointwise_inputs(channels, side, device)
    skip = torch.randn(1, 2 * side, 2 * side, channels // 2, device=device).to(DTYPE)

    def kernel(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor, skip: Tensor) -> Tensor:
        return pointwise(x, weight, bias, index, None, skip, squares="write")

    def plain(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor, skip: Tensor) -> Tensor:
        return reference.pointwise(
            x, weight, bias, index, normalised=False, residual=skip, gated=False, squares="write"
        )

    work = convolution_work(side**2, channels, 2 * channels, DTYPE.itemsize, added=True)
    return _map_case("pointwise, up", x, work, kernel, plain, (x, weight, bias, index, skip))


def depthwise_case(channels: int, side: int, device: str) -> Case:
    x = torch.randn(1, side, side, 2 * channels, device=device).to(DTYPE)
    weight = torch.randn(1, 9, 2 * channels, device=device).to(DTYPE)
    bias, index = torch.randn(1, 2 * channels, device=device), torch.zeros(1, dtype=torch.int32, device=device)
    work = depthwise_work(side**2, channels, DTYPE.itemsize)
    return _map_case("depthwise_gate", x, work, depthwise_gate, reference.depthwise_gate, (x, weight, bias, index))


def feed_forward_case(channels: int, side: int, device: str) -> Case:
    """Both 1x1 convolutions of the block's second half, beside the two launches of ``pointwise``."""
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
    case = _map_case("feed_forward", x, work, kernel, reference.feed_forward, arguments)
    two = Form(two_launches, arguments, PEER * TOLERANCE[DTYPE], "graph")
    return replace(case, forms={**case.forms, "pointwise twice": two})


def lowrank_case(channels: int, side: int, config: ModelConfig, device: str) -> Case:
    """conv1 of a block with two experts of an image unmerged."""
    x, weight, bias, _ = _pointwise_inputs(channels, side, device)
    rank, experts = config.restorer.rank, max(2, len(config.degradations))
    a, b = ((torch.randn(experts, *shape, device=device) / channels**0.5).to(DTYPE) for shape in
            ((rank, channels), (2 * channels, rank)))  # fmt: skip
    index = torch.tensor([[0, 1]], dtype=torch.int32, device=device)
    gates = torch.tensor([[0.3, 0.7]], device=device)
    work = lowrank_work(side**2, channels, 2 * channels, 2 * rank, DTYPE.itemsize)
    arguments = (x, weight[0], bias[0], a, b, index, gates, config.restorer.scale)
    return _map_case("gated_lowrank", x, work, gated_lowrank, reference.gated_lowrank, arguments)


def weight_grad_case(channels: int, side: int, device: str) -> Case:
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)
    dy = torch.randn(1, side, side, 2 * channels, device=device).to(DTYPE)
    work = weight_grad_work(side**2, channels, 2 * channels, DTYPE.itemsize)
    arguments = (x, dy, torch.zeros(1, dtype=torch.int32, device=device), 1)
    return _map_case("grouped_weight_grad", x, work, grouped_weight_grad, reference.grouped_weight_grad, arguments)


def attention_case(channels: int, device: str, batch: int = 4) -> Case:
    sums, index = torch.randn(batch, channels, device=device), torch.zeros(batch, dtype=torch.int32, device=device)
    weight, following = (torch.randn(2, 1, channels, channels, device=device) / channels**0.5).to(DTYPE).unbind()
    bias = torch.ones(1, channels, device=device)
    arguments = (sums, weight, bias, following, index, 1024)
    work = attention_work(batch, channels, DTYPE.itemsize)
    compared = forms(attention_weights, reference.attention_weights, arguments, DTYPE)
    exact = in_double(reference.attention_weights, arguments)
    return Case("attention_weights", f"batch {batch}, C {channels}", DTYPE, (work,), compared, exact)


def local_mean_case(channels: int, side: int, window: int, device: str) -> Case:
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)

    def plain(x: Tensor) -> Tensor:
        return reference.local_mean(x.permute(0, 3, 1, 2), (window, window)).permute(0, 2, 3, 1)

    work = local_mean_work(side**2, (side - window + 1) ** 2, channels, DTYPE.itemsize)
    return _map_case("local_mean", x, work, lambda x: local_mean_nhwc(x, window, window), plain, (x,))


def _pointwise_inputs(channels: int, side: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = torch.randn(1, side, side, channels, device=device).to(DTYPE)
    weight = (torch.randn(1, 2 * channels, channels, device=device) / channels**0.5).to(DTYPE)
    return x, weight, torch.randn(1, 2 * channels, device=device), torch.zeros(1, dtype=torch.int32, device=device)


def _map_case(
    what: str,
    x: Tensor,
    work: Work,
    kernel: Callable[..., Output],
    plain: Callable[..., Output],
    arguments: tuple[Any, ...],
) -> Case:
    shape = "x".join(str(length) for length in x.shape)
    return Case(what, shape, x.dtype, (work,), forms(kernel, plain, arguments, x.dtype), in_double(plain, arguments))
