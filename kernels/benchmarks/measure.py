"""A case: one piece of work done by several forms on the same inputs; each checked, then timed in turn."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any, Literal

import torch
from arithmetic import Ceilings, Work, floor_ms
from lorair_export.errors import ParityError
from results import Machine, Result
from torch import Tensor

from lorair.system import commit_of

Output = Tensor | tuple[Tensor, ...]
ROUNDS = 3
ROUND_MS = 60


@dataclass(frozen=True)
class Form:
    """A way to do the work: what to call, on what, through what, and the relative L2 error that it may have.

    ``expected`` is what it should give where that is not what the case's other forms give. A form that records CUDA
    graphs by itself goes through its ``own graphs``.
    """

    call: Callable[..., Output]
    arguments: tuple[Any, ...]
    tolerance: float
    through: Literal["launches", "own graphs", "graph", "compile", "max-autotune"] = "launches"
    expected: Callable[[], Output] | None = None


@dataclass(frozen=True)
class Case:
    """``expected`` is computed in float32 or wider; ``image`` [B, 3, H, W] where the outputs are restored images.

    The error of restored images is that of what was added to ``image``.
    """

    what: str
    shape: str
    dtype: torch.dtype
    work: tuple[Work, ...]
    forms: Mapping[str, Form]
    expected: Callable[[], Output]
    image: Tensor | None = None

    def __str__(self) -> str:
        return f"{self.what}, {self.shape}, {str(self.dtype).removeprefix('torch.')}"


def relative_error(got: Output, expected: Output, origin: Tensor | None = None) -> float:
    """The largest relative L2 distance of the tensors of an output, measured from ``origin`` where it is given."""
    errors: list[float] = []
    for y, right in zip(_tensors(got), _tensors(expected), strict=True):
        size = right.double() if origin is None else right.double() - origin.double()
        errors.append(float((y.double() - right.double()).norm() / size.norm()))
    return max(errors)


def psnr_db(got: Tensor, expected: Tensor) -> float:
    """PSNR in dB of images in [0, 1]."""
    return float(-10 * (got.double() - expected.double()).square().mean().clamp_min(1e-20).log10())


def check(case: Case, name: str, got: Output, expected: Output) -> tuple[float, float | None]:
    """Error and, of images, PSNR of a form's output; ParityError where it is not near enough, NaN included."""
    error, tolerance = relative_error(got, expected, case.image), case.forms[name].tolerance
    if not error <= tolerance:
        raise ParityError(f"{case}: {name} is {error:.1e} from float32 or wider, at most {tolerance:.0e} is right")
    images = case.image is not None
    return error, psnr_db(_tensors(got)[0], _tensors(expected)[0]) if images else None


def ready(form: Form) -> Callable[[], Output]:
    """The form's call as it is timed. In a graph, and compiled, Python takes no part in it."""

    def call() -> Output:
        return form.call(*form.arguments)

    if form.through in ("launches", "own graphs"):
        return call
    if form.through == "graph":
        return captured(call)
    torch.compiler.reset()
    if form.through == "max-autotune":  # which captures graphs by itself
        tuned = torch.compile(form.call, mode="max-autotune", dynamic=False)
        return lambda: tuned(*form.arguments)
    compiled = torch.compile(form.call, dynamic=False)
    return captured(lambda: compiled(*form.arguments))


def captured(call: Callable[[], Output]) -> Callable[[], Output]:
    """The call as a CUDA graph, which holds only if nothing in it waits for the GPU."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = call()

    def replay() -> Output:
        graph.replay()
        return output

    return replay


def measure(case: Case, machine: Machine, ceilings: Ceilings, left_out: Callable[[str], None]) -> list[Result]:
    """Check every form, then time all of them in turn; a form that does not fit in memory is told and left out.

    Raises:
        ParityError: a form is wrong, so no time of the case is worth showing.
    """
    expected = case.expected()
    runs: dict[str, Callable[[], Output]] = {}
    quality: dict[str, tuple[float, float | None]] = {}
    peaks: dict[str, float | None] = {}
    for name, form in case.forms.items():
        try:
            run = ready(form)
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            run()
            peak = torch.cuda.max_memory_allocated() - before
            output = run()  # as it is timed: what records a graph by itself has done so by its second call
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            left_out(f"{case}: {name} does not fit in memory")
            continue
        peaks[name] = peak / 2**20 if form.through == "launches" else None
        quality[name] = check(case, name, output, expected if form.expected is None else form.expected())
        runs[name] = run
    floor = floor_ms(case.work, ceilings)
    moved, flops = (sum(getattr(launch, unit) for launch in case.work) for unit in ("bytes", "flops"))
    results: list[Result] = []
    for name, times in interleaved(runs).items():
        p20, p50, p80 = (times_at(times, share) for share in (20, 50, 80))
        error, psnr = quality[name]
        kind = str(case.dtype).removeprefix("torch.")
        rates = moved / p50 / 1e6, flops / p50 / 1e9, floor / p50
        row = (machine, case.what, name, case.shape, kind, p20, p50, p80, *rates, peaks[name], error, psnr)
        results.append(Result(*row))
    return results


def interleaved(runs: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of single calls by CUDA events, L2 flushed before each, the forms in turn for some rounds."""
    from triton.testing import do_bench

    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            taken = do_bench(run, warmup=ROUND_MS // 4, rep=ROUND_MS, return_mode="all")
            assert isinstance(taken, list)
            times[name] += taken
    return times


def times_at(times: list[float], percent: int) -> float:
    """A percentile of at least two times, interpolated linearly."""
    return quantiles(times, n=100, method="inclusive")[percent - 1]


def measured_ceilings() -> Ceilings:
    """What this GPU does at best: a copy of 1 GiB, and a bf16 product of 8192 x 8192 matrices."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    left, right = torch.randn(2, 8192, 8192, dtype=torch.bfloat16, device="cuda").unbind()
    times = interleaved({"copy": lambda: target.copy_(source), "product": lambda: left @ right})
    copy_ms, product_ms = times_at(times["copy"], 50), times_at(times["product"], 50)
    return Ceilings(gbs=2 * source.numel() / copy_ms / 1e6, tflops=2 * 8192**3 / product_ms / 1e9)


def this_machine() -> Machine:
    """The GPU, driver, versions and commit that a row is measured with."""
    import triton

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        driver = "unknown"
    commit = commit_of(Path(__file__)) or "unknown"
    return Machine(torch.cuda.get_device_name(), driver, torch.__version__, triton.__version__, commit)


def _tensors(output: Output) -> tuple[Tensor, ...]:
    return (output,) if isinstance(output, Tensor) else output
