"""The 1x1 convolution against torch in float64."""

import pytest
import torch
from lorair_kernels import pointwise, reference

SETS, CHANNELS = 3, 24


def wide(*tensors):
    return [None if t is None else t.double() for t in tensors]


@pytest.mark.parametrize("size", [(5, 7), (16, 16), (3, 90)])
@pytest.mark.parametrize("form", ["plain", "norm", "norm and gate", "residual"])
def test_pointwise(form, size, dtype, device, assert_near):
    index = torch.tensor([2, 0], dtype=torch.int32, device=device)
    outputs = 70
    x = (2 + torch.randn(2, *size, CHANNELS, device=device)).to(dtype)
    weight = (torch.randn(SETS, outputs, CHANNELS, device=device) / 5).to(dtype)
    bias = torch.randn(SETS, outputs, device=device)
    row_sums = weight.float().sum(-1) if "norm" in form else None
    residual = torch.randn(2, *size, outputs, device=device).to(dtype) if form == "residual" else None
    y = pointwise(x, weight, bias, index, row_sums, residual, gated="gate" in form)
    expected = reference.pointwise(
        *wide(x, weight, bias), index, normalised="norm" in form, residual=wide(residual)[0], gated="gate" in form
    )
    assert y.dtype == dtype
    assert_near(y, expected, dtype)


@pytest.mark.parametrize("channels", [16, 70, 200])
def test_layer_norm_far_from_zero(channels, dtype, device, assert_near):
    """Mean twenty times the deviation: what the statistics lose there, every pixel of the result would show."""
    x = (20 + torch.randn(1, 4, 9, channels, device=device)).to(dtype)
    weight = (torch.randn(1, 32, channels, device=device) / channels**0.5).to(dtype)
    bias, index = torch.zeros(1, 32, device=device), torch.zeros(1, dtype=torch.int32, device=device)
    y = pointwise(x, weight, bias, index, weight.float().sum(-1))
    expected = reference.pointwise(*wide(x, weight, bias), index, normalised=True, residual=None, gated=False)
    error = (y.double() - expected).norm() / expected.norm()
    assert error < (2e-5 if dtype is torch.float32 else {torch.float16: 1e-3, torch.bfloat16: 6e-3}[dtype])


def test_weights_that_do_not_fit_are_refused():
    index, x = torch.zeros(1, dtype=torch.int32), torch.randn(1, 2, 2, 8)
    with pytest.raises(ValueError, match=r"weight must be \[U, N, 8\]"):
        pointwise(x, torch.randn(1, 4, 6), torch.randn(1, 4), index)
    with pytest.raises(ValueError, match="index int32"):
        pointwise(x, torch.randn(1, 4, 8), torch.randn(1, 4), index.long())


def test_registered_as_a_torch_operation():
    index = torch.tensor([0, 2], dtype=torch.int32)
    x, weight, bias = torch.randn(2, 3, 4, 8), torch.randn(SETS, 16, 8), torch.randn(SETS, 16)
    torch.library.opcheck(pointwise, (x, weight, bias, index, weight.sum(-1), None, True))
