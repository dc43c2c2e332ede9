"""The convolution with low-rank experts in its main loop against torch in float64."""

import sys

import pytest
import torch
from lorair_kernels import gated_lowrank, reference

SCALE = 2.0
full = pytest.mark.full
SHAPES = {"one tile": ((3, 5), 16, 16), "parts of tiles": ((9, 15), 40, 70), "one pixel": ((1, 1), 24, 8)}


def layer(size, channels, outputs, experts, rank, gates, dtype, device):
    """x, weight, bias, a, b, index and gates of three images; one-hot gates are those of a single active expert."""
    x = torch.randn(3, *size, channels, device=device).to(dtype)
    weight = (torch.randn(outputs, channels, device=device) / channels**0.5).to(dtype)
    a = (torch.randn(experts, rank, channels, device=device) / channels**0.5).to(dtype)
    b = (torch.randn(experts, outputs, rank, device=device) / rank**0.5).to(dtype)
    active = 1 if gates == "one-hot" else min(experts, 3)
    order = torch.stack([torch.randperm(experts, device=device) for _ in range(3)])
    chosen = order[:, :active].to(torch.int32)
    values = torch.ones(3, 1, device=device) if active == 1 else torch.randn(3, active, device=device).softmax(1)
    return x, weight, torch.randn(outputs, device=device), a, b, chosen, values


def in_float64(x, weight, bias, a, b, index, gates):
    return reference.gated_lowrank(*(t.double() for t in (x, weight, bias, a, b)), index, gates.double(), SCALE)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("gates", [pytest.param("one-hot", marks=full), "soft"])
@pytest.mark.parametrize("rank", [pytest.param(1, marks=full), 8, pytest.param(16, marks=full), 64])
@pytest.mark.parametrize("experts", [pytest.param(1, marks=full), 10])
@pytest.mark.parametrize(
    "shape", [pytest.param("one tile", marks=full), "parts of tiles", pytest.param("one pixel", marks=full)]
)
def test_gated_lowrank(shape, experts, rank, gates, dtype, device, assert_near):
    """Three soft experts of rank 64 are more ranks than a tile holds: they are merged."""
    arguments = layer(*SHAPES[shape], experts, rank, gates, dtype, device)
    y, down = gated_lowrank(*arguments, SCALE)
    expected, expected_down = in_float64(*arguments)
    assert (y.dtype, down.dtype) == (dtype, torch.float32)
    assert_near(y, expected, dtype)
    assert_near(down, expected_down, dtype)


def test_the_reference_is_the_merged_convolution():
    """Every expert active: the sum that merge_experts writes into the weight, image by image."""
    x, weight, bias, a, b, _, _ = (t.double() for t in layer((4, 3), 6, 5, 4, 2, "soft", torch.float32, "cpu"))
    index, gates = torch.arange(4, dtype=torch.int32).expand(3, 4), torch.rand(3, 4, dtype=torch.float64)
    y, _ = reference.gated_lowrank(x, weight, bias, a, b, index, gates, SCALE)
    for image in range(3):
        merged = reference.merge_experts(weight[:, :, None, None], a, b, gates[image], SCALE)[:, :, 0, 0]
        torch.testing.assert_close(y[image], x[image] @ merged.T + bias)


def test_views_are_taken_as_they_are(dtype, device, assert_near):
    x, weight, bias, a, b, index, gates = layer((6, 5), 24, 20, 4, 3, "soft", dtype, device)
    x = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    weight, a, b = weight.T.contiguous().T, a.mT.contiguous().mT, b.mT.contiguous().mT
    index, gates = index.T.contiguous().T, gates.T.contiguous().T
    y, _ = gated_lowrank(x, weight, bias, a, b, index, gates, SCALE)
    assert_near(y, in_float64(x, weight, bias, a, b, index, gates)[0], dtype)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("experts", "rank", "gates", "routing"),
    [
        pytest.param(1, 8, "one-hot", None, marks=full),
        pytest.param(10, 1, "soft", None, marks=full),
        (4, 16, "soft", [1, 1, 0]),
        pytest.param(10, 64, "one-hot", [7, 7, 7], marks=full),
    ],
)
def test_gradients(experts, rank, gates, routing, dtype, device):
    """Routed at random, or every slot of an image to the expert that `routing` names and those after it."""
    x, weight, bias, a, b, index, gates = layer((7, 5), 24, 20, experts, rank, gates, dtype, device)
    if routing is not None:
        slots = torch.arange(index.shape[1], device=device)
        index = ((torch.tensor(routing, device=device)[:, None] + slots) % experts).to(torch.int32)
    leaves = [t.requires_grad_() for t in (x, weight, bias, a, b, gates)]
    y, down = gated_lowrank(x, weight, bias, a, b, index, gates, SCALE)
    assert not down.requires_grad
    dy = torch.randn_like(y)
    grads = torch.autograd.grad(y, leaves, dy)
    *wide, wide_gates = (t.detach().double().requires_grad_() for t in leaves)
    expected_y, _ = reference.gated_lowrank(*wide, index, wide_gates, SCALE)
    expected = torch.autograd.grad(expected_y, [*wide, wide_gates], dy.double())
    for leaf, got, want in zip(leaves, grads, expected, strict=True):
        assert got.dtype == leaf.dtype
        error = (got.double() - want).norm() / want.norm()
        assert error < {torch.float32: 5e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}[dtype]


def test_a_frozen_weight_costs_no_gradient(monkeypatch, device):
    """Only the experts train: two products for their factors, none for the weight."""
    module = sys.modules["lorair_kernels.gated_lowrank"]  # the package has the operation under the module's name
    shapes = []

    def counted(x, dy, index, sets):
        shapes.append((dy.shape[-1], x.shape[-1]))
        return reference.grouped_weight_grad(x, dy, index, sets)

    monkeypatch.setattr(module, "grouped_weight_grad", counted)
    x, weight, bias, a, b, index, gates = layer((4, 4), 24, 20, 2, 8, "soft", torch.float32, device)
    y, _ = gated_lowrank(x, weight, bias, a.requires_grad_(), b.requires_grad_(), index, gates, SCALE)
    y.sum().backward()
    assert shapes == [(16, 24), (20, 16)]


def test_what_does_not_fit_is_rejected():
    x, weight, bias, a, b, index, gates = layer((2, 2), 8, 6, 2, 4, "soft", torch.float32, "cpu")
    with pytest.raises(ValueError, match=r"weight must be \[N, 8\]"):
        gated_lowrank(x, weight[:, :4], bias, a, b, index, gates, SCALE)
    with pytest.raises(ValueError, match=r"b \[E, N, R\]"):
        gated_lowrank(x, weight, bias, a, b.mT, index, gates, SCALE)
    with pytest.raises(ValueError, match=r"index must be \[3, k\] int32"):
        gated_lowrank(x, weight, bias, a, b, index.long(), gates, SCALE)


def test_registered_as_a_torch_operation(device):
    *learnt, index, gates = layer((3, 4), 8, 6, 3, 2, "soft", torch.float32, device)
    arguments = *(t.requires_grad_() for t in learnt), index, gates.requires_grad_()
    torch.library.opcheck(gated_lowrank, (*arguments, SCALE))
