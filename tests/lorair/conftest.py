"""Shared by the tests of lorair: photographs, and a runtime whose answers are known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lorair.model import Routing


class IdentityRuntime:
    """Returns what it gets, or what `change` makes of it, and notes what it was asked."""

    name = "identity"
    degradations = ("haze", "rain")

    def __init__(self, size_range=None, routes=True, change=lambda images: images):
        self.size_range = size_range
        self.routes = routes
        self.change = change
        self.routed: list[tuple[int, ...]] = []
        self.restored: list[tuple[tuple[int, ...], Routing | None]] = []

    def route(self, images: Tensor) -> Routing | None:
        self.routed.append(tuple(images.shape[-2:]))
        gates = torch.tensor([[0.25, 0.75]])
        return Routing(gates.log(), gates, torch.zeros(1, 4)) if self.routes else None

    def pin(self, degradation: str, batch: int) -> Routing:
        if degradation not in self.degradations:
            raise ValueError(f"unknown degradation {degradation!r}")
        gates = torch.eye(2)[[self.degradations.index(degradation)] * batch]
        return Routing(None, gates, torch.zeros(batch, 4))

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        assert images.dtype == torch.float32
        assert 0 <= images.min() <= images.max() <= 1
        self.restored.append((tuple(images.shape[-2:]), routing))
        gates = torch.tensor([[0.4, 0.6]]) if routing is None else routing.gates
        return self.change(images).clone(), gates


@pytest.fixture(scope="session")
def identity() -> type[IdentityRuntime]:
    return IdentityRuntime


@pytest.fixture(scope="session")
def noise() -> Callable[..., np.ndarray]:
    """Whole levels of all the dtype's range: `noise((40, 50, 3), np.uint16)`."""

    def draw(shape: tuple[int, ...], dtype=np.uint8) -> np.ndarray:
        return np.random.default_rng(len(shape)).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)

    return draw


@pytest.fixture(scope="session")
def photograph(noise) -> Callable[..., np.ndarray]:
    """Write an image of noise, and give its pixels: `photograph(path, height, width)`."""

    def write(path: Path, height: int = 40, width: int = 50) -> np.ndarray:
        pixels = noise((height, width, 3))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return pixels

    return write


@pytest.fixture(scope="session")
def photograph_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stand-ins for photographs: smooth waves in three colours, 48x64."""
    folder = tmp_path_factory.mktemp("photographs")
    y, x = np.mgrid[0:48, 0:64]
    for index in range(2):
        shades = [128 + 100 * np.sin((x + 5 * index) / 9 + phase) * np.cos(y / 11) for phase in (0, 1, 2)]
        Image.fromarray(np.stack(shades, axis=2).astype(np.uint8)).save(folder / f"{index}.png")
    return folder
