"""The sum of experts against sums written out in float64."""

import pytest
import torch
from lorair_kernels import expert_delta, merge_experts

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
