"""What a latency run tells of a model in a case, and whether the model is right at all."""

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

    ``precision`` is what the restorer computes in, fp32 where the router is timed alone. ``refused`` is the reason
    where there is no figure. Milliseconds are of whole calls of ``part``, from images to images in host memory;
    ``router_ms`` and ``restorer_ms`` of its parts, None where they cannot be told apart. ``psnr_db`` is the least of
    the batches against the reference, None for a router; ``mpix_per_s`` counts megapixels of input. The cold start,
    load and first call in ms, and the peaks are of a fresh process: resident memory, and what torch's CUDA allocator
    held.
    """

    model: str
    runtime: str
    case: Case
    part: Part = Part.ALL
    precision: str = "fp32"
    refused: str | None = None
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
    """The name of the first torch runtime, by which the others are judged."""
    names = [name for name, runtime in runtimes.items() if runtime.name == "torch"]
    if not names:
        raise ValueError("no checkpoint among the models tells what is right; add --model best.pt")
    return names[0]


def judged(name: str, runtime: Runtime, batches: Sequence[Batch], expected: Sequence[Outputs], part: Part) -> Row:
    """The row of a runtime before its figures: how near it comes to the reference, or why it is refused."""
    batch, _, height, width = batches[0].images.shape
    precision = "fp32" if part is Part.ROUTER else getattr(runtime, "precision", "fp32")
    computes_in = precision if part is Part.ROUTER else getattr(runtime, "computes_in", precision)
    row = Row(name, runtime.name, Case(height, width, batch), part, computes_in)
    low, high = runtime.size_range or (1, math.inf)
    if part is not Part.ROUTER and not (low <= height <= high and low <= width <= high):
        return replace(row, refused=f"takes sides of {low} to {high} pixels")
    if len(runtime.degradations) != expected[0][1].shape[1]:
        return replace(row, refused=f"another model, of {', '.join(runtime.degradations)}")
    try:
        found = [outputs_of(runtime, batch, part) for batch in batches]
    except Exception as error:  # libraries raise what they like, and the other models still have figures
        return replace(row, refused=failure(error))
    eight_bit = isinstance(runtime, BundleRuntime) and runtime.manifest.graphs[-1].inputs[0].dtype == "uint8"
    tolerance = tolerance_for(precision, "uint8" if eight_bit else "float32")
    pairs = list(zip(expected, found, strict=True))
    if part is Part.ROUTER:
        return replace(row, refused=router_fault(pairs, tolerance))
    nearness = min(psnr_db(right, restored) for (right, _), (restored, _) in pairs)
    return replace(row, psnr_db=nearness, refused=restorer_fault(nearness, pairs, tolerance))


def failure(error: Exception) -> str:
    """Why a model has no figure: the sentence of an error for users, the kind and first line of another one."""
    if isinstance(error, (ValueError, LorairError)):
        return str(error)
    first, _, _ = str(error).strip().partition("\n")
    return f"{type(error).__name__}: {first}"


def restorer_fault(nearness_db: float, pairs: Sequence[Pair], tolerance: Tolerance) -> str | None:
    gates = furthest(pairs, 1)
    if nearness_db >= tolerance.psnr_db and gates <= tolerance.gates:
        return None
    return (
        f"wrong output: {nearness_db:.1f} dB (at least {tolerance.psnr_db:g} asked), "
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
