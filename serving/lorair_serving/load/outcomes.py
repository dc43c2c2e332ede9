"""A load and what came of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lorair_serving.client import ErrorCode, ModelCounters

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Load:
    """How images arrive.

    Attributes:
        seconds: how long.
        clients: number of clients that each wait for their answer (closed loop), or null.
        rate: images per second at random times, whatever has been answered (open loop, Poisson), or null.
        seed: of the images' order and times.
    """

    seconds: float
    clients: int | None = None
    rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.clients is None) == (self.rate is None):
            raise ValueError("name either a number of clients (closed loop) or a rate (open loop)")


@dataclass(frozen=True)
class Outcome:
    """One request.

    Attributes:
        began_s: seconds after the load began.
        latency_ms: until the answer.
        error: why it failed, null where it did not.
        code: the error's code, null where there is none.
    """

    began_s: float
    latency_ms: float
    error: str | None = None
    code: ErrorCode | None = None


@dataclass(frozen=True)
class LoadReport:
    """A load's outcomes, and the server's counters by model."""

    load: Load
    took_s: float
    outcomes: Sequence[Outcome]
    counters: Mapping[str, ModelCounters]

    @property
    def images_per_s(self) -> float:
        return sum(outcome.error is None for outcome in self.outcomes) / self.took_s

    @property
    def errors(self) -> Mapping[str, int]:
        """How often each error occurred."""
        return Counter(outcome.error for outcome in self.outcomes if outcome.error is not None)

    @property
    def latency_ms(self) -> Mapping[str, float]:
        """By percentile (``p50``), of the images that were answered."""
        answered = [outcome.latency_ms for outcome in self.outcomes if outcome.error is None]
        return {f"p{p}": float(np.percentile(answered, p)) for p in PERCENTILES} if answered else {}
