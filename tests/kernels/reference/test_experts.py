"""The gated low-rank operations against sums written out in float64."""

import pytest
import torch
import torch.nn.functional as F
from lorair_kernels import expert_delta, local_mean, merge_experts

KINDS = {"1x1": (8, 12, 1, 1), "3x3": (3, 8, 3, 1), "2x2": (8, 16, 2, 1), "depthwise": (12, 12, 3, 12)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("experts", "rank"), [(1, 1), (3, 8), (10, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merged_weight_is_the_sum_over_experts(kind, experts, rank, dtype):
    cin, cout, k, groups = KINDS[kind]
    torch.manual_seed(0)
    weight = torch.randn(cout, cin // groups, k, k, dtype=dtype)
    a = torch.randn(experts, rank * k, cin * k, dtype=dtype)
    b = torch.randn(experts, cout // groups * k, rank * k, dtype=dtype)
    gates = torch.rand(experts, dtype=dtype)
    expected = weight.double().clone()
    for e in range(experts):
        for place in range(weight.numel()):
            row, column = divmod(place, cin * k)
            product = (b[e, row].double() * a[e, :, column].double()).sum()
            expected.view(-1)[place] += 2.0 * gates[e].double() * product
    merged = merge_experts(weight, a, b, gates, scale=2.0)
    assert merged.dtype == dtype
    torch.testing.assert_close(merged.double(), expected, rtol=1e-5, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_gradients_of_the_delta():
    torch.manual_seed(0)
    a = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 10, 4, dtype=torch.float64, requires_grad=True)
    gates = torch.rand(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: expert_delta(*x, (5, 3, 2, 2)), (a, b, gates))


@pytest.mark.parametrize("window", [(1, 1), (3, 5), (8, 2), (9, 11)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_local_mean_is_average_pooling(window, dtype):
    x = torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(0)).to(dtype)
    expected = F.avg_pool2d(x.double(), window, stride=1)
    torch.testing.assert_close(
        local_mean(x, window).double(),
        expected,
        rtol=0,
        atol={torch.float32: 1e-6, torch.float16: 1e-3}[dtype],
    )


def test_local_mean_of_a_large_half_precision_map_does_not_overflow():
    x = torch.full((1, 1, 400, 400), 100.0, dtype=torch.float16)
    assert torch.equal(local_mean(x, (300, 300)), torch.full((1, 1, 101, 101), 100.0, dtype=torch.float16))
