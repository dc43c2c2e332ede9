"""Low-rank experts: merged into the weights of many convolutions, and unmerged in one 1x1 convolution."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lorair_kernels.benchmarks.case import Case, Output
from lorair_kernels.benchmarks.forms import DTYPE, forms, map_case
from lorair_kernels.benchmarks.pointwise_cases import pointwise_inputs
from lorair_kernels.benchmarks.work import lowrank_work, merge_work
from lorair_kernels.gated_lowrank import gated_lowrank
from lorair_kernels.packed_experts import PackedExperts
from lorair_kernels.reference import gated_lowrank as reference_gated_lowrank
from lorair_kernels.reference import merge_experts

EXPERTS, RANK, SCALE = 3, 8, 2.0  # as published
# Blocks of the published restorer by the multiple of the first level's channels: 28 of the 29 of the fourth level are
# its encoder's.
BLOCKS = {1: 2, 2: 2, 4: 2, 8: 29, 16: 1}


def merge_case(width: int, device: str) -> Case:
    """The convolutions of all NAFNet blocks of a restorer whose first level has `width` channels."""
    weights: list[Tensor] = []
    a: list[Tensor] = []
    b: list[Tensor] = []
    for multiple, blocks in BLOCKS.items():
        c = multiple * width
        block = ((2 * c, c, 1), (2 * c, 1, 3), (c, c, 1), (c, c, 1), (2 * c, c, 1), (c, c, 1))
        for outputs, inputs, k in blocks * block:
            groups = outputs if inputs == 1 else 1
            weights.append(torch.randn(outputs, inputs, k, k, device=device).to(DTYPE))
            a.append(torch.randn(EXPERTS, RANK * k, inputs * groups * k, device=device).to(DTYPE))
            b.append(torch.randn(EXPERTS, outputs // groups * k, RANK * k, device=device).to(DTYPE))
    return merge_case_of(weights, a, b, SCALE)


def merge_case_of(weights: Sequence[Tensor], a: Sequence[Tensor], b: Sequence[Tensor], scale: float) -> Case:
    """One image's weights for a one-hot gate vector, in one launch; arguments as in `PackedExperts.pack`."""
    packed = PackedExperts.pack(weights, a, b, scale)
    dtype, experts = packed.weights.dtype, packed.experts
    gates = torch.eye(experts, device=packed.weights.device, dtype=dtype)[:1]

    def merged(gates: Tensor) -> Output:
        return tuple(packed.merge(gates))

    def one_by_one(gates: Tensor) -> Output:
        return tuple(merge_experts(*conv, gates[0], scale)[None] for conv in zip(weights, a, b, strict=True))

    def exact() -> Output:
        doubles = zip(*([tensor.double() for tensor in kind] for kind in (weights, a, b)), strict=True)
        return tuple(merge_experts(weight, a, b, gates[0].double(), scale)[None] for weight, a, b in doubles)

    work = merge_work(packed.shapes, experts, 1, dtype.itemsize)
    compared = forms(merged, one_by_one, (gates,), dtype)
    return Case("merge", f"{len(weights)} convolutions", dtype, (work,), compared, exact)


def lowrank_case(channels: int, side: int, device: str) -> Case:
    """conv1 of a block, C -> 2C, with two experts of an image unmerged."""
    x, weight, bias, _ = pointwise_inputs(channels, side, device)
    a = (torch.randn(EXPERTS, RANK, channels, device=device) / channels**0.5).to(DTYPE)
    b = (torch.randn(EXPERTS, 2 * channels, RANK, device=device) / channels**0.5).to(DTYPE)
    index = torch.tensor([[0, 1]], dtype=torch.int32, device=device)
    gates = torch.tensor([[0.3, 0.7]], device=device)
    work = lowrank_work(side**2, channels, 2 * channels, 2 * RANK, DTYPE.itemsize)
    arguments = (x, weight[0], bias[0], a, b, index, gates, SCALE)
    return map_case("gated_lowrank", x, work, gated_lowrank, reference_gated_lowrank, arguments)
