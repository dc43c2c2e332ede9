"""The depthwise convolution with its gate and sums against torch in float64."""

import pytest
import torch
from lorair_kernels import depthwise_gate, reference
from lorair_kernels.depthwise_gate import depthwise_gate_backward

SETS = 3
full = pytest.mark.full


def wide(*tensors):
    return [None if t is None else t.double() for t in tensors]


@pytest.mark.parametrize(
    ("size", "channels"),
    [
        pytest.param((1, 1), 8, marks=full),
        pytest.param((16, 16), 40, marks=full),
        pytest.param((17, 35), 8, marks=full),
        ((5, 18), 70),
    ],
)
def test_depthwise_gate(size, channels, dtype, device, assert_near):
    index = torch.tensor([1], dtype=torch.int32, device=device)
    x = torch.randn(1, *size, 2 * channels, device=device).to(dtype)
    weight = torch.randn(SETS, 9, 2 * channels, device=device).to(dtype)
    bias = torch.randn(SETS, 2 * channels, device=device)
    y, sums = depthwise_gate(x, weight, bias, index)
    expected, expected_sums = reference.depthwise_gate(*wide(x, weight, bias), index)
    assert sums.dtype == torch.float32
    assert_near(y, expected, dtype)
    torch.testing.assert_close(sums.double(), expected_sums, rtol=1e-4, atol=1e-5 * expected.abs().sum().item())


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("size", "channels", "routing", "used"),
    [
        pytest.param((1, 1), 8, [1, 1], "both", marks=full),
        pytest.param((8, 16), 32, [2, 0], "y", marks=full),
        pytest.param((8, 16), 32, [2, 0], "sums", marks=full),
        ((9, 19), 5, [0, 0, 2], "both"),
    ],
)
def test_views_and_gradients(size, channels, routing, used, dtype, device, routed, assert_near):
    index = routed(routing)
    x = torch.randn(len(routing), 2 * channels, *size, device=device).to(dtype).permute(0, 2, 3, 1)
    weight = torch.randn(SETS, 9, 2 * channels, device=device).to(dtype)
    inputs = [t.requires_grad_() for t in (x, weight, torch.randn(SETS, 2 * channels, device=device))]
    wide_inputs = [t.detach().double().requires_grad_() for t in inputs]
    chosen = {"y": slice(0, 1), "sums": slice(1, 2), "both": slice(0, 2)}[used]
    results = depthwise_gate(*inputs, index)[chosen]
    expected = reference.depthwise_gate(*wide_inputs, index)[chosen]
    for got, want in zip(results, expected, strict=True):
        assert_near(got, want, dtype)
    grads = [torch.randn_like(t) for t in results]
    gradients = torch.autograd.grad(results, inputs, grads)
    for got, want, of in zip(gradients, torch.autograd.grad(expected, wide_inputs, wide(*grads)), inputs, strict=True):
        assert got.dtype == of.dtype
        assert_near(got, want, dtype)


def test_weights_that_do_not_fit_are_rejected():
    index, x = torch.zeros(1, dtype=torch.int32), torch.randn(1, 2, 2, 8)
    with pytest.raises(ValueError, match=r"weight must be \[U, 9, 8\] of torch.float32"):
        depthwise_gate(x, torch.randn(1, 9, 8).half(), torch.randn(1, 8), index)


def test_registered_as_a_torch_operation():
    index, x = torch.tensor([0, 2], dtype=torch.int32), torch.randn(2, 3, 4, 8)
    inputs = [t.requires_grad_() for t in (x, torch.randn(SETS, 9, 8), torch.randn(SETS, 8))]
    torch.library.opcheck(depthwise_gate, (*inputs, index))
    grads = torch.randn(2, 3, 4, 4), torch.randn(2, 4)
    torch.library.opcheck(depthwise_gate_backward, (*grads, *(t.detach() for t in inputs), index))
