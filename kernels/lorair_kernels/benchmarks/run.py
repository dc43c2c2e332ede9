"""A benchmark from its command line: cases measured until time is up, rows printed and saved, goals last."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from lorair_kernels.backend import has_triton
from lorair_kernels.benchmarks.case import Case
from lorair_kernels.benchmarks.errors import BenchmarkError, UnsupportedGpuError
from lorair_kernels.benchmarks.goals import Goal, table_of
from lorair_kernels.benchmarks.measure import measure, this_machine
from lorair_kernels.benchmarks.results import Result, append, table_head, table_rows
from lorair_kernels.benchmarks.timing import measured_ceilings


@dataclass(frozen=True)
class Options:
    """The CSV file that rows are appended to, minutes after which no case is begun, and the commit in the rows."""

    results: Path
    minutes: float
    commit: str


@dataclass(frozen=True)
class Planned:
    """A case, made when its turn comes; it is begun only while `needed_s` seconds are left."""

    make: Callable[[], Case]
    needed_s: float = 0.0


def read_options(program: str, description: str, arguments: list[str] | None) -> Options:
    """The options of a benchmark's command line; None for the process's own arguments."""
    parser = argparse.ArgumentParser(
        prog=program, description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=Path("gpu-results.csv"), help="CSV file to append to")
    parser.add_argument("--minutes", type=float, default=8, help="time in minutes after which no case is started")
    parser.add_argument("--commit", default="unknown", help="commit of the code, saved in each row")
    return Options(**vars(parser.parse_args(arguments)))


def exit_code_of(run: Callable[[], object]) -> int:
    """Run a benchmark on a supported GPU: 0, or an error's exit code after its message on standard error."""
    try:
        require_gpu()
        run()
    except (BenchmarkError, ValueError) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, BenchmarkError) else 2
    return 0


def require_gpu() -> None:
    """UnsupportedGpuError where the Triton kernels cannot run."""
    if not (has_triton() and torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)):
        raise UnsupportedGpuError(
            "the benchmark needs the triton package and an NVIDIA GPU of compute capability 8.0 or above; "
            "run it on a supported machine (make test checks the kernels on any machine)"
        )


@torch.no_grad()
def run_cases(cases: Iterable[Planned], goals: Sequence[Goal], options: Options) -> list[Result]:
    """Measure the cases one after the other; AccuracyError at the first wrong output."""
    deadline = perf_counter() + 60 * options.minutes
    machine, ceilings = this_machine(options.commit), measured_ceilings()
    print(f"{machine.gpu}, driver {machine.driver}, torch {machine.torch}, triton {machine.triton}, {machine.commit}")
    print(f"ceilings: copy {ceilings.gbs:.0f} GB/s, bf16 product {ceilings.tflops:.0f} TFLOP/s\n\n{table_head()}")
    results: list[Result] = []
    for planned in cases:
        if perf_counter() + planned.needed_s > deadline:
            print("a case was skipped: no time left (--minutes)")
            continue
        rows = measure(planned.make(), machine, ceilings, left_out=print)
        append(options.results, rows)
        results += rows
        print(table_rows(rows), flush=True)
        torch.cuda.empty_cache()
    print(f"\n{table_of(goals, results)}")
    return results
