"""The local mean of [B, H, W, C] against average pooling in float64."""

import pytest
import torch
import torch.nn.functional as F
from lorair_kernels import local_mean_nhwc
from lorair_kernels.launch import LOCAL_MEAN

WINDOWS = [(3, 5), *(pytest.param(window, marks=pytest.mark.full) for window in ((1, 1), (9, 2), (9, 11)))]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("window", WINDOWS)
def test_it_is_average_pooling(window, dtype, device, assert_near):
    x = torch.randn(2, 9, 11, 30, device=device).to(dtype).permute(0, 2, 1, 3).contiguous().permute(0, 2, 1, 3)
    expected = F.avg_pool2d(x.double().permute(0, 3, 1, 2), window, stride=1).permute(0, 2, 3, 1)
    means = local_mean_nhwc(x, *window)
    assert means.dtype == dtype
    assert_near(means, expected, dtype)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("window", WINDOWS)
def test_gradient(window, dtype, device, assert_near):
    x = torch.randn(2, 9, 11, 30, device=device).to(dtype).requires_grad_()
    wide = x.detach().double().requires_grad_()
    means = local_mean_nhwc(x, *window)
    expected = F.avg_pool2d(wide.permute(0, 3, 1, 2), window, stride=1).permute(0, 2, 3, 1)
    grad = torch.randn(expected.shape, device=device).to(dtype)
    gradient = torch.autograd.grad(means, x, grad)[0]
    assert gradient.dtype == dtype
    assert_near(gradient, torch.autograd.grad(expected, wide, grad.double())[0], dtype)


def test_a_long_map_of_large_values_loses_nothing(device):
    """Past one program's steps, with sums that float16 cannot hold."""
    x = (100 + torch.randn(1, LOCAL_MEAN.rows[0].tile.steps + 60, 2, 3, device=device)).half()
    expected = F.avg_pool2d(x.double().permute(0, 3, 1, 2), (50, 1), stride=1).permute(0, 2, 3, 1)
    torch.testing.assert_close(local_mean_nhwc(x, 50, 1).double(), expected, rtol=1e-3, atol=0)
    exact = local_mean_nhwc(x.float(), 50, 1).double()
    torch.testing.assert_close(exact, expected, rtol=1e-6, atol=0)


def test_registered_as_a_torch_operation():
    torch.library.opcheck(local_mean_nhwc, (torch.randn(1, 6, 5, 4, requires_grad=True), 3, 2))
