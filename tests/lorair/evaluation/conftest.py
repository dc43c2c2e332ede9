"""A runtime whose answers are known, and pairs whose errors are."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from PIL import Image

from lorair.data import BenchmarkPair
from lorair.evaluation import evaluate
from lorair.model import Routing


@dataclass
class Brighten:
    """Adds a tenth; takes what is darker than the middle for low light, the rest for haze."""

    name = "brighten"
    degradations = ("haze", "low_light")
    size_range: tuple[int, int] | None = None
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def route(self, images):
        gates = torch.tensor([[0.0, 1.0]] if images.mean() < 0.5 else [[1.0, 0.0]])
        return Routing(gates, gates, gates)

    def pin(self, degradation, batch):
        if degradation not in self.degradations:
            raise ValueError(f"unknown degradation {degradation!r}")
        gates = torch.eye(2)[[self.degradations.index(degradation)]]
        return Routing(None, gates, gates)

    def restore(self, images, routing):
        self.sizes.append(tuple(images.shape[-2:]))
        return (images + 0.1).clamp(0, 1), routing.gates


@pytest.fixture
def brighten() -> Brighten:
    return Brighten()


@pytest.fixture(scope="session")
def pair() -> Callable[..., BenchmarkPair]:
    def make(level, task, height=32, width=40, error=20, expert=None, dtype=np.uint8, protocol="basicsr-rgb"):
        """A flat image, `error` levels darker than the clean one."""
        top = np.iinfo(dtype).max // 255
        clean = np.full((height, width, 3), level * top, dtype)
        return BenchmarkPair(f"{task}-{level}.png", task, expert, protocol, clean - dtype(error * top), clean)

    return make


@pytest.fixture(scope="session")
def decibels() -> Callable[[float], float]:
    """The PSNR of an error of so many levels of 255."""
    return lambda levels: 20 * math.log10(255 / levels)


@pytest.fixture
def evaluation(brighten, pair):
    """Three low-light images, one of which is predicted haze, and a hazy one."""
    pairs = [pair(level, "LOL", expert="low_light", error=error) for level, error in ((90, 20), (100, 30), (200, 40))]
    return evaluate(brighten, [*pairs, pair(220, "SOTS", expert="haze", error=10)])


@pytest.fixture(scope="session")
def save() -> Callable[..., np.ndarray]:
    """Write an image of random pixels and return them."""

    def write(path, seed, size=(40, 32)):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(path)
        return pixels

    return write
