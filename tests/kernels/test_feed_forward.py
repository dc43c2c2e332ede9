"""The feed-forward half of the block against torch in float64."""

import pytest
import torch
from lorair_kernels import feed_forward, reference
from lorair_kernels.launch import FEED_FORWARD, find_tile

SETS = 3
full = pytest.mark.full


def half(channels, size, images, dtype, device):
    """x, w4, b4, row_sums, w5, b5 of a map whose mean is far from zero."""
    w4, w5 = ((torch.randn(SETS, n * channels, channels, device=device) / channels**0.5).to(dtype) for n in (2, 1))
    b4, b5 = (torch.randn(SETS, n * channels, device=device) for n in (2, 1))
    x = (2 + torch.randn(images, *size, channels, device=device)).to(dtype)
    return x, w4, b4, w4.float().sum(-1), w5, b5


def in_float64(x, w4, b4, _, w5, b5, index):
    return reference.feed_forward(*(t.double() for t in (x, w4, b4, w5, b5)), index)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("channels", "size"),
    [
        pytest.param(8, (1, 1), marks=full),
        pytest.param(16, (5, 7), marks=full),
        pytest.param(24, (16, 16), marks=full),
        pytest.param(64, (3, 43), marks=full),
        (70, (9, 8)),
        pytest.param(256, (5, 13), marks=full),
    ],
)
def test_feed_forward(channels, size, dtype, device, assert_near):
    if find_tile(FEED_FORWARD, torch.empty(1, dtype=dtype, device=device), channels=channels) is None:
        channels = 61
    index = torch.tensor([2, 0], dtype=torch.int32, device=device)
    arguments = half(channels, size, 2, dtype, device)
    y = feed_forward(*arguments, index)
    assert y.dtype == dtype
    assert_near(y, in_float64(*arguments, index), dtype)


def test_views_are_taken_as_they_are(dtype, device, routed, assert_near):
    index = routed([1, 0])
    x, *weights = (t.mT.contiguous().mT for t in half(24, (6, 5), 2, dtype, device))
    assert_near(feed_forward(x, *weights, index), in_float64(x, *weights, index), dtype)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("routing", "channels"),
    [([2, 0, 2], 24), pytest.param([1, 1], 24, marks=full), pytest.param([2, 0, 1], 33, marks=full)],
)
def test_gradients(routing, channels, dtype, device, routed):
    index = routed(routing)
    x, w4, b4, row_sums, w5, b5 = half(channels, (7, 5), len(routing), dtype, device)
    leaves = [t.requires_grad_() for t in (x, w4, b4, w5, b5)]
    dy = torch.randn_like(x)
    grads = torch.autograd.grad(feed_forward(x, w4, b4, row_sums, w5, b5, index), leaves, dy)
    wide = [t.detach().double().requires_grad_() for t in leaves]
    expected = torch.autograd.grad(reference.feed_forward(*wide, index), wide, dy.double())
    for leaf, got, want in zip(leaves, grads, expected, strict=True):
        assert got.dtype == leaf.dtype
        error = (got.double() - want).norm() / want.norm()
        assert error < {torch.float32: 5e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}[dtype]


def test_what_does_not_fit_is_rejected():
    index, x = torch.zeros(1, dtype=torch.int32), torch.randn(1, 2, 2, 8)
    w4, b4, w5, b5 = torch.randn(1, 16, 8), torch.randn(1, 16), torch.randn(1, 8, 8), torch.randn(1, 8)
    with pytest.raises(ValueError, match=r"w4 must be \[U, 16, 8\]"):
        feed_forward(x, w4[:, :8], b4, b4, w5, b5, index)
    with pytest.raises(ValueError, match=r"\(1, 8, 8\) of torch.float16"):
        feed_forward(x, w4, b4, b4, w5.half(), b5, index)
    with pytest.raises(ValueError, match=r"65 channels of torch.float32 are too many"):
        feed_forward(*half(65, (2, 2), 1, torch.float32, "cpu"), index)


def test_registered_as_a_torch_operation(device):
    index = torch.tensor([0, 2], dtype=torch.int32, device=device)
    x, w4, b4, row_sums, w5, b5 = half(8, (3, 4), 2, torch.float32, device)
    learnt = [t.requires_grad_() for t in (x, w4, b4)], [t.requires_grad_() for t in (w5, b5)]
    torch.library.opcheck(feed_forward, (*learnt[0], row_sums, *learnt[1], index))
