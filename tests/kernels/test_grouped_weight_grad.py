"""Gradients of weight sets against a loop over the images in float64."""

import pytest
import torch
from lorair_kernels import grouped_sum, grouped_weight_grad
from lorair_kernels.launch import WEIGHT_GRAD

SETS = 3
full = pytest.mark.full
INDEX = {"identical": [1, 1], "distinct": [2, 0], "skewed": [0, 0, 2]}
ROUTINGS = ["skewed", pytest.param("identical", marks=full), pytest.param("distinct", marks=full)]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("routing", ROUTINGS)
@pytest.mark.parametrize(
    ("size", "channels", "outputs"),
    [((5, 7), 24, 70), pytest.param((16, 16), 70, 16, marks=full), pytest.param((1, 1), 8, 140, marks=full)],
)
def test_weight_grad(size, channels, outputs, routing, dtype, device, routed, assert_near):
    index = INDEX[routing]
    x = torch.randn(len(index), *size, channels, device=device).to(dtype)
    dy = torch.randn(len(index), outputs, *size, device=device).to(dtype).permute(0, 2, 3, 1)
    grad = grouped_weight_grad(x, dy, routed(index), SETS)
    expected = torch.zeros(SETS, outputs, channels, dtype=torch.float64, device=device)
    for image, chosen in enumerate(index):
        expected[chosen] += dy[image].double().flatten(0, 1).T @ x[image].double().flatten(0, 1)
    assert grad.dtype == torch.float32
    assert_near(grad, expected, torch.float32)


def test_an_image_of_many_parts(dtype, device, assert_near):
    tokens = 2 * max(row.tile.part for row in WEIGHT_GRAD.rows) + 30
    x, dy = (torch.randn(1, tokens, 1, 8, device=device).to(dtype) for _ in range(2))
    grad = grouped_weight_grad(x, dy, torch.zeros(1, dtype=torch.int32, device=device), 1)
    assert_near(grad, dy.double().view(1, -1, 8).mT @ x.double().view(1, -1, 8), torch.float32)


@pytest.mark.usefixtures("backend")
def test_grouped_sum(device):
    values = torch.randn(4, 3, 700, device=device)
    sums = grouped_sum(values, torch.tensor([3, 0, 3, 3], dtype=torch.int32, device=device), 5)
    expected = torch.stack([values[1], *torch.zeros(2, 3, 700, device=device), values[[0, 2, 3]].sum(0)])
    torch.testing.assert_close(sums, torch.cat([expected, torch.zeros(1, 3, 700, device=device)]))


def test_gradients_that_do_not_fit_are_rejected():
    index, x = torch.zeros(1, dtype=torch.int32), torch.randn(1, 2, 2, 8)
    with pytest.raises(ValueError, match=r"dy must be \[1, 2, 2, 'N'\] of torch.float32"):
        grouped_weight_grad(x, torch.randn(1, 2, 3, 8), index, 1)
    with pytest.raises(ValueError, match="index int32"):
        grouped_weight_grad(x, x, index.long(), 1)


def test_registered_as_torch_operations():
    index, x = torch.tensor([0, 2], dtype=torch.int32), torch.randn(2, 3, 4, 8)
    torch.library.opcheck(grouped_weight_grad, (x, torch.randn(2, 3, 4, 5), index, SETS))
    torch.library.opcheck(grouped_sum, (x, index, SETS))
