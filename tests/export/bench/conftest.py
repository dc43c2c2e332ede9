"""Runtimes that take the time they are told to, by a clock that stands still otherwise."""

from collections.abc import Callable
from itertools import cycle

import pytest
import torch
from lorair_export.bench.latency import measure
from lorair_export.bench.latency.cases import Batch

from lorair.model import Routing


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []


class FakeRuntime:
    """Adds `error` to the images and takes the given milliseconds, call by call; routing takes 3."""

    degradations = ("noise",)
    size_range = None

    def __init__(self, clock: Clock, name: str = "torch", delays_ms=(10.0,), error: float = 0.0) -> None:
        self.clock, self.name, self.delays, self.error = clock, name, cycle(delays_ms), error

    def route(self, images):
        if self.name != "torch":
            return None
        self.clock.now += 0.003
        return Routing(None, torch.ones(len(images), 1), torch.zeros(len(images), 1))

    def pin(self, degradation, batch):
        raise ValueError("no names here")

    def restore(self, images, routing):
        self.clock.calls.append(self.name)
        self.clock.now += next(self.delays) / 1000
        return images + self.error, torch.ones(len(images), 1)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(measure, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(measure, "sleep", lambda seconds: None)
    return clock


@pytest.fixture
def fake(clock) -> Callable[..., FakeRuntime]:
    """`fake(name, delays_ms, error)` -> a runtime by the clock."""
    return lambda *how, **named: FakeRuntime(clock, *how, **named)


@pytest.fixture
def batches() -> Callable[..., list[Batch]]:
    """Three random batches of 32 x 48 pixels."""

    def make(batch: int = 1) -> list[Batch]:
        return [Batch(torch.rand(batch, 3, 32, 48, generator=torch.Generator().manual_seed(i))) for i in range(3)]

    return make
