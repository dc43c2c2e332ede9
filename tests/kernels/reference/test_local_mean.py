"""The local mean against average pooling."""

import pytest
import torch
import torch.nn.functional as F
from lorair_kernels import local_mean


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
