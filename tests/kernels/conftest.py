"""Shared by the kernels' tests: where they run, how exact they must be, and memory that is never clean by chance."""

from collections.abc import Callable, Iterator

import pytest
import torch
from lorair_kernels import backend as kernels_backend
from torch import Tensor

# Relative L2 distance to float64.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 6e-3}


@pytest.fixture(params=TOLERANCE, ids=lambda dtype: str(dtype).removeprefix("torch."))
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    if request.param is torch.bfloat16 and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU, and Triton's interpreter multiplies bfloat16 wrongly")
    return request.param


@pytest.fixture(params=["triton", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways an operation runs."""
    if request.param == "torch":
        monkeypatch.setattr(kernels_backend, "has_triton", lambda: False)


@pytest.fixture
def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def routed(device: str) -> Callable[[list[int]], Tensor]:
    """The weight set of each image as a view, every second number of others."""
    return lambda sets: torch.tensor(sets, dtype=torch.int32, device=device).repeat_interleave(2)[::2]


@pytest.fixture
def assert_near() -> Callable[..., None]:
    def check(got: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
        assert got.shape == expected.shape
        error = (got.double() - expected).norm() / expected.norm().clamp_min(1e-30)
        assert error < TOLERANCE[dtype], f"{error:.1e} from float64"

    return check


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """New memory holds NaN, so that a number that no kernel wrote shows."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3).new_empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
