"""Shared by the kernels' tests: where they run, how exact they must be, and memory that holds NaN.

Triton's interpreter is slow, so the default run takes one ragged shape and one routing per kernel and dtype; the others
are marked `full` (`-m ""` runs them too, in seconds on a GPU).
"""

from collections.abc import Callable, Iterator

import pytest
import torch
from lorair_kernels import backend as kernels_backend
from torch import Tensor

# Relative L2 error against float64.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 6e-3}


# Triton's interpreter multiplies bfloat16 wrongly, so that is checked only on a GPU.
STORAGES = [dtype for dtype in TOLERANCE if dtype is not torch.bfloat16 or torch.cuda.is_available()]


@pytest.fixture(params=STORAGES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
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
    """The weight set of each image as a strided view."""
    return lambda sets: torch.tensor(sets, dtype=torch.int32, device=device).repeat_interleave(2)[::2]


@pytest.fixture
def assert_near() -> Callable[..., None]:
    def check(got: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
        assert got.shape == expected.shape
        error = (got.double() - expected).norm() / expected.norm().clamp_min(1e-30)
        assert error < TOLERANCE[dtype], f"relative error {error:.1e} against float64"

    return check


@pytest.fixture(autouse=True)
def poisoned_memory() -> Iterator[None]:
    """New memory holds NaN, so that an element that no kernel wrote is seen."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3).new_empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)
