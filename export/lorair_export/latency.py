"""Latency of models side by side: correctness first, then calls in turn, so that all meet one machine."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from time import perf_counter, sleep
from typing import Final, ParamSpec

import numpy as np
import torch
from torch import Tensor

from lorair.errors import LorairError
from lorair.photographs import examples
from lorair.runtime import Runtime
from lorair_export.onnx_profile import graph_part_times
from lorair_export.parity import TOLERANCES, photograph_at, psnr_db
from lorair_export.runtimes import OnnxRuntime

# Worker threads spin for some milliseconds after a call, on the cores that the next model wants.
SETTLE_S: Final = 0.02
BATCHES: Final = 3
PART_CALLS: Final = 5

Outputs = tuple[Tensor, Tensor]
P = ParamSpec("P")


@dataclass(frozen=True)
class Case:
    """The images of one call: ``batch`` of ``height`` x ``width`` pixels."""

    height: int
    width: int
    batch: int = 1

    def __str__(self) -> str:
        return f"{self.batch}x3x{self.height}x{self.width}"


@dataclass(frozen=True)
class Rounds:
    """Rounds, each calling every model once: ``warmup``, then ``iters`` at least and for ``duration_s``."""

    warmup: int = 3
    iters: int = 30
    duration_s: float = 0.0


@dataclass(frozen=True)
class Row:
    """One model in one case.

    ``refused`` is the reason where there is no figure. Milliseconds are of whole calls, from images to images
    in host memory; ``router_ms`` and ``restorer_ms`` of its parts, None where they cannot be told apart.
    ``psnr_db`` is the least of the batches against the reference. The cold start, load and first call in ms,
    and the peaks are of a fresh process: resident memory, and what torch's CUDA allocator held.
    """

    model: str
    runtime: str
    case: Case
    refused: str | None = None
    psnr_db: float | None = None
    calls: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    images_per_s: float | None = None
    router_ms: float | None = None
    restorer_ms: float | None = None
    load_ms: float | None = None
    first_call_ms: float | None = None
    peak_rss_mib: float | None = None
    peak_cuda_mib: float | None = None


def measure(runtimes: Mapping[str, Runtime], batches: Sequence[Tensor], rounds: Rounds) -> list[Row]:
    """Measure runtimes on the same images, one call each in turn; a wrong output has a reason and no figure.

    Args:
        runtimes: by the name that the user gave; the first torch one is the reference.
        batches: ``[B, 3, H, W]`` float32 in [0, 1], all of one shape; each round takes the next one.
        rounds: how often.

    Returns:
        One row per runtime, in their order, without the figures of a fresh process.

    Raises:
        ValueError: no runtime is torch's.
    """
    reference = runtimes[reference_of(runtimes)]
    batch, _, height, width = batches[0].shape
    case = Case(height, width, batch)
    expected = [reference.restore(images, None) for images in batches]
    rows = {name: judged(name, runtime, case, batches, expected) for name, runtime in runtimes.items()}
    accepted = [name for name, row in rows.items() if row.refused is None]
    times = interleaved([runtimes[name] for name in accepted], batches, rounds)
    for name, taken in zip(accepted, times, strict=True):
        parts = part_times(name, runtimes[name], batches[0])
        rows[name] = replace(rows[name], **summary(taken, batch), **parts)
    return list(rows.values())


def reference_of(runtimes: Mapping[str, Runtime]) -> str:
    """The name of the first torch runtime, by which the others are judged."""
    names = [name for name, runtime in runtimes.items() if runtime.name == "torch"]
    if not names:
        raise ValueError("no checkpoint among the models tells what is right; add --model best.pt")
    return names[0]


def judged(name: str, runtime: Runtime, case: Case, batches: Sequence[Tensor], expected: Sequence[Outputs]) -> Row:
    """The row of a runtime before its figures: how near it comes to the reference, or why it is refused."""
    row = Row(name, runtime.name, case)
    low, high = runtime.size_range or (1, math.inf)
    if not (low <= case.height <= high and low <= case.width <= high):
        return replace(row, refused=f"takes sides of {low} to {high} pixels")
    try:
        found = [runtime.restore(images, None) for images in batches]
    except (ValueError, LorairError) as error:
        return replace(row, refused=str(error))
    nearness = [psnr_db(right[0], restored) for right, (restored, _) in zip(expected, found, strict=True)]
    gates = max((gates - right[1]).abs().max().item() for right, (_, gates) in zip(expected, found, strict=True))
    tolerance = TOLERANCES[getattr(runtime, "precision", "fp32")]
    if min(nearness) >= tolerance.psnr_db and gates <= tolerance.gates:
        return replace(row, psnr_db=min(nearness))
    return replace(
        row,
        psnr_db=min(nearness),
        refused=f"wrong output: {min(nearness):.1f} dB (at least {tolerance.psnr_db:g} asked), "
        f"gates off by {gates:.1e} (at most {tolerance.gates:g})",
    )


def interleaved(runtimes: Sequence[Runtime], batches: Sequence[Tensor], rounds: Rounds) -> list[list[float]]:
    """Milliseconds of every timed call, per runtime; each round begins with another runtime."""
    times: list[list[float]] = [[] for _ in runtimes]
    began, turn = perf_counter(), 0
    while turn < rounds.warmup + rounds.iters or perf_counter() - began < rounds.duration_s:
        if turn == rounds.warmup:
            began = perf_counter()
        for offset in range(len(runtimes)):
            index = (turn + offset) % len(runtimes)
            elapsed = milliseconds(runtimes[index].restore, batches[turn % len(batches)], None)
            if turn >= rounds.warmup:
                times[index].append(elapsed)
        turn += 1
    return times


def milliseconds(call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> float:
    """How long a call takes, the GPU's work included, after the threads of the call before have settled."""
    sleep(SETTLE_S)
    start = perf_counter()
    call(*args, **kwargs)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (perf_counter() - start)


def summary(times_ms: Sequence[float], batch: int) -> dict[str, float]:
    """Percentiles of calls in ms, interpolated linearly, and images per second of calls in a row."""
    p50, p90, p99 = (float(value) for value in np.percentile(times_ms, [50, 90, 99]))
    return {
        "calls": len(times_ms),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "images_per_s": 1000 * batch * len(times_ms) / math.fsum(times_ms),
    }


def part_times(name: str, runtime: Runtime, images: Tensor) -> dict[str, float]:
    """Milliseconds of routing and of restoring, empty where the runtime does not part them."""
    if isinstance(runtime, OnnxRuntime) and runtime.name == OnnxRuntime.name:
        return graph_part_times(name, runtime, images, PART_CALLS)
    routing = runtime.route(images)
    if routing is None:
        return {}
    router = [milliseconds(runtime.route, images) for _ in range(PART_CALLS)]
    restorer = [milliseconds(runtime.restore, images, routing) for _ in range(PART_CALLS)]
    return {"router_ms": statistics.median(router), "restorer_ms": statistics.median(restorer)}


def case_batches(case: Case) -> list[Tensor]:
    """The example photographs, scaled and cropped to a case: batches of float32 [B, 3, H, W] in [0, 1]."""
    photographs = cycle(photograph_at(path, case.height, case.width) for path in examples())
    return [torch.stack(list(islice(photographs, case.batch))) for _ in range(BATCHES)]
