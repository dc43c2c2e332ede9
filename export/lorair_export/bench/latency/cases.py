"""The cases of a latency run: calls with images of one shape, and the part of the model that is timed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle, islice
from typing import Final, NamedTuple

import torch
from torch import Tensor

from lorair.inference import Runtime
from lorair.model import Routing
from lorair.photographs import examples
from lorair_export.bundle import photograph_at

BATCHES: Final = 3

Outputs = tuple[Tensor, Tensor]


class Part(StrEnum):
    """Router and restorer, or only one of them."""

    ALL = "all"
    ROUTER = "router"
    RESTORER = "restorer"


@dataclass(frozen=True)
class Case:
    """The images of one call.

    Attributes:
        height: in pixels.
        width: in pixels.
        batch: images per call.
    """

    height: int
    width: int
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.batch}x3x{self.height}x{self.width}"

    @property
    def images(self) -> str:
        """`4x256x384`: batch, height and width."""
        return f"{self.batch}x{self.height}x{self.width}"

    @property
    def megapixels(self) -> float:
        return self.batch * self.height * self.width / 1e6


@dataclass(frozen=True)
class Rounds:
    """Rounds, each calling every model once: `warmup`, then `iters` at least and for `duration_s`."""

    warmup: int = 3
    iters: int = 30
    duration_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What a run measures and how; `about` adds facts about the models that their names do not contain."""

    cases: Sequence[Case]
    rounds: Rounds = Rounds()
    part: Part = Part.ALL
    device: str = "auto"
    about: Mapping[str, str] = field(default_factory=dict)


class Batch(NamedTuple):
    """One call's images `[B, 3, H, W]` float32 in [0, 1], and their routing where that is given."""

    images: Tensor
    routing: Routing | None = None


def outputs_of(runtime: Runtime, batch: Batch, part: Part) -> Outputs:
    """One call: (restored images, gates), or of the router only (prior, gates), all in host memory.

    ValueError where the artefact has no such part.
    """
    if part is not Part.ROUTER:
        return runtime.restore(batch.images, batch.routing)
    routing = runtime.route(batch.images)
    if routing is None:
        raise ValueError("this model routes inside; export it with --routing split or experts to time its router")
    return routing.prior.cpu(), routing.gates.cpu()


def case_batches(case: Case, part: Part, reference: Runtime) -> list[Batch]:
    """The calls of a case on the example photographs; for the restorer only `reference` has routed them before.

    With the restorer only, experts are mixed: consecutive images use different experts.
    """
    calls = photographs(case)
    if part is not Part.RESTORER:
        return [Batch(images) for images in calls]
    firsts = range(0, len(calls) * case.batch, case.batch)
    return [Batch(images, mixed_routing(reference, images, first)) for images, first in zip(calls, firsts, strict=True)]


def photographs(case: Case) -> list[Tensor]:
    """The example photographs, scaled and cropped to a case: batches of float32 [B, 3, H, W] in [0, 1]."""
    images: Iterator[Tensor] = cycle(photograph_at(path, case.height, case.width) for path in examples())
    return [torch.stack(list(islice(images, case.batch))) for _ in range(BATCHES)]


def mixed_routing(reference: Runtime, images: Tensor, first: int) -> Routing:
    """The router's own priors, and its gates rotated so that the largest of image i is `first` + i modulo E."""
    routing = reference.route(images)
    assert routing is not None
    moved = [row.roll(first + i - int(row.argmax())) for i, row in enumerate(routing.gates.cpu().float())]
    return Routing(None, torch.stack(moved), routing.prior.cpu().float())
