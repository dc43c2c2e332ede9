"""Latency of models side by side: correctness first, then calls in turn, so that all run under the same load."""

import logging
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter, sleep
from typing import Final, ParamSpec

import numpy as np
import torch
from torch import Tensor

from lorair.inference import Runtime
from lorair_export.bench.latency.cases import Batch, Case, Outputs, Part, Rounds, outputs_of
from lorair_export.bench.latency.rows import Row, compared_row, failure, reference_of
from lorair_export.runtimes import BundleRuntime, OnnxRuntime, graph_part_times

# Worker threads spin for some milliseconds after a call, on the cores that the next model needs.
SETTLE_S: Final = 0.02
PART_CALLS: Final = 5

P = ParamSpec("P")

logger = logging.getLogger(__name__)


def measure(
    runtimes: Mapping[str, Runtime], batches: Sequence[Batch], rounds: Rounds, part: Part = Part.ALL
) -> list[Row]:
    """Measure runtimes on the same images, one call each in turn; a wrong output gets a reason and no figure.

    Args:
        runtimes: by the name that the user gave; the first torch one is the reference.
        batches: of one shape; each round takes the next one.
        rounds: how often.
        part: what is compared and timed.

    Returns:
        One row per runtime, in their order, without the figures of a fresh process.

    Raises:
        ValueError: no runtime is torch's, so there is no reference.
    """
    reference = runtimes[reference_of(runtimes)]
    pins = {name: pin_of(runtime, reference) if part is Part.ALL else None for name, runtime in runtimes.items()}
    expected = {pin: expected_of(reference, batches, part, pin) for pin in set(pins.values())}
    rows = {
        name: compared_row(name, runtime, batches, expected[pins[name]], part) for name, runtime in runtimes.items()
    }
    accepted = [name for name, row in rows.items() if row.reason is None]
    times = interleaved([runtimes[name] for name in accepted], batches, rounds, part)
    for name, taken in zip(accepted, times, strict=True):
        parts = part_times(name, runtimes[name], batches[0].images) if part is Part.ALL else {}
        rows[name] = replace(rows[name], **summary(taken, rows[name].case), **parts)
    return list(rows.values())


def pin_of(runtime: Runtime, reference: Runtime) -> str | None:
    """The degradation that a bundle is pinned to, where the reference knows it too."""
    pinned = runtime.manifest.pinned if isinstance(runtime, BundleRuntime) else None
    return pinned if pinned in reference.degradations else None


def expected_of(reference: Runtime, batches: Sequence[Batch], part: Part, pin: str | None) -> list[Outputs]:
    """The reference's output for each batch, with the routing of the degradation `pin` where it is not None."""
    if pin is None:
        return [outputs_of(reference, batch, part) for batch in batches]
    return [reference.restore(batch.images, reference.pin(pin, len(batch.images))) for batch in batches]


def interleaved(
    runtimes: Sequence[Runtime], batches: Sequence[Batch], rounds: Rounds, part: Part = Part.ALL
) -> list[list[float]]:
    """Milliseconds of every timed call, per runtime; each round begins with another runtime."""
    times: list[list[float]] = [[] for _ in runtimes]
    began, turn = perf_counter(), 0
    while turn < rounds.warmup + rounds.iters or perf_counter() - began < rounds.duration_s:
        if turn == rounds.warmup:
            began = perf_counter()
        for offset in range(len(runtimes)):
            index = (turn + offset) % len(runtimes)
            elapsed = milliseconds(outputs_of, runtimes[index], batches[turn % len(batches)], part)
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


def summary(times_ms: Sequence[float], case: Case) -> dict[str, float]:
    """Percentiles of calls in ms, interpolated linearly, and images and megapixels per second of calls in a row."""
    calls_per_s = 1000 * len(times_ms) / math.fsum(times_ms)
    p50, p90, p99 = (float(value) for value in np.percentile(times_ms, [50, 90, 99]))
    return {
        "calls": len(times_ms),
        "p50_ms": p50,
        "p90_ms": p90,
        "p99_ms": p99,
        "images_per_s": calls_per_s * case.batch,
        "mpix_per_s": calls_per_s * case.megapixels,
    }


def part_times(name: str, runtime: Runtime, images: Tensor) -> dict[str, float]:
    """Milliseconds of routing and of restoring in separate calls; empty where they cannot be called separately."""
    routing = runtime.route(images)
    if routing is None and isinstance(runtime, OnnxRuntime):
        try:
            return graph_part_times(name, runtime, images, PART_CALLS)
        except Exception as error:  # a second session takes memory, and its failure must not end the run
            logger.warning("%s: its parts were not timed: %s", name, failure(error))
            return {}
    if routing is None:
        return {}
    router = [milliseconds(runtime.route, images) for _ in range(PART_CALLS)]
    restorer = [milliseconds(runtime.restore, images, routing) for _ in range(PART_CALLS)]
    return {"router_ms": statistics.median(router), "restorer_ms": statistics.median(restorer)}
