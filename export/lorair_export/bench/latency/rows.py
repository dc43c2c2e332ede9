"""The figures of a model in a case, and whether its output is correct."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lorair.errors import LorairError
from lorair.inference import Runtime
from lorair_export.bench.latency.cases import Batch, Case, Outputs, Part, outputs_of
from lorair_export.bundle import Tolerance, psnr_db, tolerance_for
from lorair_export.runtimes import BundleRuntime

Pair = tuple[Outputs, Outputs]


@dataclass(frozen=True)
class Row:
    """One model in one case.

    Attributes:
        model: as the user named it.
        runtime: what ran it.
        case: the images of a call.
        part: what was timed.
        precision: numeric type of the restorer's convolutions; fp32 where only the router is timed.
        reason: why there is no figure, else null.
        psnr_db: the least of the batches, compared with the reference; null for a router.
        calls: how many were timed.
        p50_ms: median of whole calls, from images to images in host memory.
        p90_ms: 90th percentile of the same.
        p99_ms: 99th percentile of the same.
        images_per_s: of consecutive calls.
        mpix_per_s: megapixels of input per second of consecutive calls.
        router_ms: median of separate calls of the router; null where it cannot be called separately.
        restorer_ms: median of separate calls of the restorer; the two need not add up to a whole call.
        load_ms: loading in a fresh process.
        first_call_ms: the first call in that process.
        peak_rss_mib: peak resident memory of that process.
        peak_cuda_mib: peak memory of torch's CUDA allocator in that process.
    """

    model: str
    runtime: str
    case: Case
    part: Part = Part.ALL
    precision: str = "fp32"
    reason: str | None = None
    psnr_db: float | None = None
    calls: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    images_per_s: float | None = None
    mpix_per_s: float | None = None
    router_ms: float | None = None
    restorer_ms: float | None = None
    load_ms: float | None = None
    first_call_ms: float | None = None
    peak_rss_mib: float | None = None
    peak_cuda_mib: float | None = None


def reference_of(runtimes: Mapping[str, Runtime]) -> str:
    """The name of the first torch runtime, with which the others are compared."""
    names = [name for name, runtime in runtimes.items() if runtime.name == "torch"]
    if not names:
        raise ValueError("no model is a checkpoint to compare the others with; add --model best.pt")
    return names[0]


def compared_row(name: str, runtime: Runtime, batches: Sequence[Batch], expected: Sequence[Outputs], part: Part) -> Row:
    """The row of a runtime before its figures: its PSNR against the reference, or why it gets none."""
    batch, _, height, width = batches[0].images.shape
    bundle = runtime if isinstance(runtime, BundleRuntime) and part is not Part.ROUTER else None
    precision, computes_in = ("fp32", "fp32") if bundle is None else (bundle.precision, bundle.computes_in)
    row = Row(name, runtime.name, Case(height, width, batch), part, computes_in)
    low, high = runtime.size_range or (1, math.inf)
    if part is not Part.ROUTER and not (low <= height <= high and low <= width <= high):
        return replace(row, reason=f"takes sides of {low} to {high} pixels")
    if len(runtime.degradations) != expected[0][1].shape[1]:
        return replace(row, reason=f"another model, of {', '.join(runtime.degradations)}")
    try:
        found = [outputs_of(runtime, batch, part) for batch in batches]
    except Exception as error:  # libraries raise any kind of exception; the other models are still measured
        return replace(row, reason=failure(error))
    eight_bit = bundle is not None and bundle.manifest.graphs[-1].inputs[0].dtype == "uint8"
    tolerance = tolerance_for(precision, "uint8" if eight_bit else "float32")
    pairs = list(zip(expected, found, strict=True))
    if part is Part.ROUTER:
        return replace(row, reason=router_fault(pairs, tolerance))
    nearness = min(psnr_db(right, restored) for (right, _), (restored, _) in pairs)
    return replace(row, psnr_db=nearness, reason=restorer_fault(nearness, pairs, tolerance))


def failure(error: Exception) -> str:
    """Why a model has no figure: the message of a user error, or the type and first line of another error."""
    if isinstance(error, (ValueError, LorairError)):
        return str(error)
    first, _, _ = str(error).strip().partition("\n")
    return f"{type(error).__name__}: {first}"


def restorer_fault(nearness_db: float, pairs: Sequence[Pair], tolerance: Tolerance) -> str | None:
    gates = furthest(pairs, 1)
    if nearness_db >= tolerance.psnr_db and gates <= tolerance.gates:
        return None
    return (
        f"wrong output: {nearness_db:.1f} dB (at least {tolerance.psnr_db:g} required), "
        f"gates off by {gates:.1e} (at most {tolerance.gates:g})"
    )


def router_fault(pairs: Sequence[Pair], tolerance: Tolerance) -> str | None:
    """Priors may be off by as much of the largest one as gates may be."""
    largest = max(right[0].abs().max().item() for right, _ in pairs)
    priors, gates = furthest(pairs, 0) / (largest or 1.0), furthest(pairs, 1)
    if priors <= tolerance.gates and gates <= tolerance.gates:
        return None
    return f"wrong output: priors off by {priors:.1e}, gates by {gates:.1e} (at most {tolerance.gates:g})"


def furthest(pairs: Sequence[Pair], output: int) -> float:
    """The largest difference in an output; NaN where there is one."""
    return float(np.max([(found[output] - right[output]).abs().max().item() for right, found in pairs]))
