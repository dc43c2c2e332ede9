"""Check every form of a case, then time them in turn."""

import subprocess
from collections.abc import Callable

import torch

from lorair_kernels.benchmarks.case import Case, Output, check
from lorair_kernels.benchmarks.results import Machine, Result
from lorair_kernels.benchmarks.timing import interleaved, ready, times_at
from lorair_kernels.benchmarks.work import Ceilings, floor_ms


def measure(case: Case, machine: Machine, ceilings: Ceilings, left_out: Callable[[str], None]) -> list[Result]:
    """Check every form, then time all of them in turn; `left_out` gets a line for each that does not fit in memory.

    Raises:
        AccuracyError: the output of a form is wrong; nothing of the case was timed.
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
    moved, flops = sum(launch.bytes for launch in case.work), sum(launch.flops for launch in case.work)
    results: list[Result] = []
    for name, times in interleaved(runs).items():
        p20, p50, p80 = (times_at(times, share) for share in (20, 50, 80))
        error, psnr = quality[name]
        kind = str(case.dtype).removeprefix("torch.")
        rates = moved / p50 / 1e6, flops / p50 / 1e9, floor / p50
        row = (machine, case.what, name, case.shape, kind, p20, p50, p80, *rates, peaks[name], error, psnr)
        results.append(Result(*row))
    return results


def this_machine(commit: str) -> Machine:
    """The GPU, driver and versions of this machine; `commit` is the code's."""
    import triton

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        driver = "unknown"
    return Machine(torch.cuda.get_device_name(), driver, torch.__version__, triton.__version__, commit)
