"""The channel attention's weights against torch in float64."""

import pytest
import torch
from lorair_kernels import attention_weights, reference

SETS = 3
full = pytest.mark.full
INDEX = {"identical": [1, 1], "distinct": [2, 0], "skewed": [0, 0, 2]}
ROUTINGS = ["skewed", pytest.param("identical", marks=full), pytest.param("distinct", marks=full)]


def wide(*tensors):
    return [None if t is None else t.double() for t in tensors]


@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize("channels", [pytest.param(8, marks=full), 70])
def test_attention_weights(routing, channels, dtype, device, assert_near):
    index = torch.tensor(INDEX[routing], dtype=torch.int32, device=device)
    sums = torch.randn(len(index), channels, device=device)
    weight = torch.randn(SETS, channels, channels, device=device).to(dtype)
    bias = torch.randn(SETS, channels, device=device)
    following = torch.randn(SETS, 33, channels, device=device).to(dtype)
    scaled = attention_weights(sums, weight, bias, following, index, 50)
    expected = reference.attention_weights(*wide(sums, weight, bias, following), index, 50)
    assert_near(scaled, expected, dtype)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("routing", ROUTINGS)
def test_views_and_gradients(routing, dtype, device, routed, assert_near):
    index = routed(INDEX[routing])
    channels, pixels = 22, 50
    sums = pixels * torch.randn(len(index), channels, device=device)
    weight = (torch.randn(SETS, channels, channels, device=device) / 5).to(dtype)
    following = torch.randn(SETS, channels, 33, device=device).to(dtype).transpose(1, 2)
    inputs = [t.requires_grad_() for t in (sums, weight, torch.randn(SETS, channels, device=device), following)]
    wide_inputs = [t.detach().double().requires_grad_() for t in inputs]
    scaled = attention_weights(*inputs, index, pixels)
    expected = reference.attention_weights(*wide_inputs, index, pixels)
    assert_near(scaled, expected, dtype)
    grad = torch.randn_like(scaled)
    gradients = torch.autograd.grad(scaled, inputs, grad)
    for got, want, of in zip(gradients, torch.autograd.grad(expected, wide_inputs, grad.double()), inputs, strict=True):
        assert got.dtype == of.dtype
        assert_near(got, want, dtype)


def test_registered_as_a_torch_operation():
    index, square = torch.tensor([0, 2], dtype=torch.int32), torch.randn(SETS, 8, 8)
    inputs = [t.requires_grad_() for t in (torch.randn(2, 8), square, torch.randn(SETS, 8), square.clone())]
    torch.library.opcheck(attention_weights, (*inputs, index, 12))
