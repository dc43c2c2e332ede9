"""The 1x1 convolution against torch in float64."""

import pytest
import torch
import torch.nn.functional as F
from lorair_kernels import pointwise, reference

SETS, CHANNELS = 3, 24
full = pytest.mark.full


def wide(*tensors):
    return [None if t is None else t.double() for t in tensors]


@pytest.mark.parametrize("size", [(5, 7), pytest.param((16, 16), marks=full), pytest.param((3, 90), marks=full)])
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


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("routing", [pytest.param([1, 1], marks=full), pytest.param([2, 0], marks=full), [0, 0, 2]])
@pytest.mark.parametrize(
    "form",
    [*(pytest.param(form, marks=full) for form in ("plain", "norm", "gate")), "norm and gate", "residual"],
)
def test_views_and_gradients(form, routing, dtype, device, routed, assert_near):
    """The plain formula in float64 knows no row sums: the weight's gradient is the whole one."""
    index = routed(routing)
    outputs, images = 70, len(routing)
    x = (1 + torch.randn(images, 7, CHANNELS, 5, device=device)).to(dtype).transpose(2, 3)
    weight = (torch.randn(SETS, CHANNELS, outputs, device=device) / 5).to(dtype).transpose(1, 2)
    bias = torch.randn(SETS, outputs, device=device)
    residual = torch.randn(images, 7, 5, outputs, device=device).to(dtype) if form == "residual" else None
    inputs = [t.requires_grad_() for t in (x, weight, bias, residual) if t is not None]
    row_sums = weight.detach().float().sum(-1) if "norm" in form else None
    y = pointwise(x, weight, bias, index, row_sums, residual, gated="gate" in form)
    dy = torch.randn_like(y)
    gradients = torch.autograd.grad(y, inputs, dy)
    wide_inputs = [t.detach().double().requires_grad_() for t in inputs]
    expected = reference.pointwise(
        *wide_inputs[:3], index, normalised="norm" in form, residual=wide_inputs[3] if len(inputs) > 3 else None,
        gated="gate" in form,
    )  # fmt: skip
    assert_near(y, expected, dtype)
    for got, want, of in zip(gradients, torch.autograd.grad(expected, wide_inputs, dy.double()), inputs, strict=True):
        assert got.dtype == of.dtype
        assert_near(got, want, dtype)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("size", [(3, 5), pytest.param((9, 16), marks=full)])
@pytest.mark.parametrize("squares", ["read", "write"])
def test_the_restorers_down_and_up_convolutions(squares, size, dtype, device, routed, assert_near):
    """A 2x2 convolution of stride 2; a 1x1 one with pixel shuffle and skip connection: as torch does them in NCHW."""
    down, routing, outputs = squares == "read", [2, 0, 2], 20
    x = torch.randn(3, CHANNELS, *(n * (2 if down else 1) for n in size), device=device).to(dtype)
    kernel = torch.randn(SETS, outputs, CHANNELS, *((2, 2) if down else (1, 1)), device=device).to(dtype)
    bias = torch.randn(SETS, outputs, device=device)
    skip = None if down else torch.randn(3, outputs // 4, *(2 * n for n in size), device=device).to(dtype)
    leaves = [t.requires_grad_() for t in (x, kernel, bias, skip) if t is not None]

    def image(i, x, kernel, bias, skip=None):
        y = F.conv2d(x[i : i + 1], kernel[routing[i]], bias[routing[i]], stride=2 if down else 1)
        return y if skip is None else F.pixel_shuffle(y, 2) + skip[i : i + 1]

    rows = kernel.permute(0, 1, 3, 4, 2).flatten(2)
    added = None if skip is None else skip.permute(0, 2, 3, 1)
    rows_bias = bias
    if not down:
        rows, rows_bias = (t.unflatten(1, (-1, 4)).transpose(1, 2).flatten(1, 2) for t in (rows, bias))
    y = pointwise(x.permute(0, 2, 3, 1), rows, rows_bias, routed(routing), None, added, squares=squares)
    wide_leaves = [t.detach().double().requires_grad_() for t in leaves]
    expected = torch.cat([image(i, *wide_leaves) for i in range(3)]).permute(0, 2, 3, 1)
    assert_near(y, expected, dtype)
    dy = torch.randn_like(y)
    gradients = torch.autograd.grad(y, leaves, dy)
    for got, want, of in zip(gradients, torch.autograd.grad(expected, wide_leaves, dy.double()), leaves, strict=True):
        assert got.dtype == of.dtype
        assert_near(got, want, dtype)


def test_what_is_frozen_gets_no_gradient():
    index = torch.tensor([0, 2], dtype=torch.int32)
    inputs = [torch.randn(2, 3, 4, 8), torch.randn(SETS, 16, 8), torch.randn(SETS, 16)]
    for learnt in inputs:
        learnt.requires_grad_()
        pointwise(*inputs, index, inputs[1].detach().sum(-1), None, True).sum().backward()
        assert [t.grad is not None for t in inputs] == [t is learnt for t in inputs]
        learnt.grad = None
        learnt.requires_grad_(False)


@pytest.mark.parametrize("channels", [pytest.param(16, marks=full), 70, pytest.param(200, marks=full)])
def test_layer_norm_far_from_zero(channels, dtype, device, assert_near):
    """Mean twenty times the deviation: what the statistics lose there, every pixel of the result would show."""
    x = (20 + torch.randn(1, 4, 9, channels, device=device)).to(dtype)
    weight = (torch.randn(1, 32, channels, device=device) / channels**0.5).to(dtype)
    bias, index = torch.zeros(1, 32, device=device), torch.zeros(1, dtype=torch.int32, device=device)
    y = pointwise(x, weight, bias, index, weight.float().sum(-1))
    expected = reference.pointwise(*wide(x, weight, bias), index, normalised=True, residual=None, gated=False)
    error = (y.double() - expected).norm() / expected.norm()
    assert error < (2e-5 if dtype is torch.float32 else {torch.float16: 1e-3, torch.bfloat16: 6e-3}[dtype])


def test_weights_that_do_not_fit_are_rejected():
    index, x = torch.zeros(1, dtype=torch.int32), torch.randn(1, 2, 2, 8)
    with pytest.raises(ValueError, match=r"weight must be \[U, N, 8\]"):
        pointwise(x, torch.randn(1, 4, 6), torch.randn(1, 4), index)
    with pytest.raises(ValueError, match=r"weight must be \[U, N, 32\]"):
        pointwise(x, torch.randn(1, 4, 8), torch.randn(1, 4), index, squares="read")
    with pytest.raises(ValueError, match=r"squares must be '', 'write' or, for even sizes, 'read'; got 'read'"):
        pointwise(x[:, :1], torch.randn(1, 4, 32), torch.randn(1, 4), index, squares="read")
    with pytest.raises(ValueError, match="index int32"):
        pointwise(x, torch.randn(1, 4, 8), torch.randn(1, 4), index.long())


def test_registered_as_a_torch_operation():
    index = torch.tensor([0, 2], dtype=torch.int32)
    x, weight, bias = torch.randn(2, 3, 4, 8), torch.randn(SETS, 16, 8), torch.randn(SETS, 16)
    torch.library.opcheck(pointwise, (x, weight, bias, index, weight.sum(-1), None, True))
    inputs = [t.requires_grad_() for t in (x, weight, bias)]
    torch.library.opcheck(pointwise, (*inputs, index, weight.detach().sum(-1), None, True))
    torch.library.opcheck(pointwise, (*inputs, index, None, torch.randn(2, 3, 4, 16, requires_grad=True)))
    torch.library.opcheck(
        pointwise, (x.detach()[:, :2], weight.view(SETS, 4, 32), bias[:, :4], index, None, None, False, "read")
    )
    torch.library.opcheck(pointwise, (*inputs, index, None, torch.randn(2, 6, 8, 4), False, "write"))
