"""``python kernels/benchmarks/run.py``: the kernels and the restorer on this GPU, beside their peers in one run.

Correctness comes first; rows are printed, and added to ``results.csv``, case by case; goals come last.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import torch
from goals import GOALS
from kernel_cases import kernel_cases
from lorair_kernels.backend import has_triton
from lorair_kernels.launch import FOLDER_VARIABLE, SHIPPED, config_file, file_name
from measure import Case, check, measure, measured_ceilings, this_machine
from restorer_cases import RestorerCases, training_case
from results import Result, append, table_head, table_rows

from lorair.errors import LorairError, RuntimeUnavailableError
from lorair.model import PRESETS

CONFIG = PRESETS["lorair-64"]
DEVICE = "cuda"
SHAPES = [(256, 1), (512, 1), (1024, 1), (256, 4), (256, 8), (256, 16), (512, 4), (512, 16), (1024, 4), (1024, 16)]
LOCAL_SIZES = (512, 1024)
COMPILED_SIZES = (512, 256, 1024)
COMPILE_S = 150  # what torch.compile may take to tune a restorer; it is begun only while so much time is left


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results.csv"), help="CSV to add to")
    parser.add_argument("--minutes", type=float, default=8, help="start no case after so many minutes")
    asked = parser.parse_args(arguments)
    try:
        require_gpu()
        with torch.no_grad():
            run(asked.results, perf_counter() + 60 * asked.minutes)
    except (LorairError, ValueError) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, LorairError) else 2
    return 0


def require_gpu() -> None:
    """RuntimeUnavailableError where the kernels cannot run."""
    if not (has_triton() and torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)):
        raise RuntimeUnavailableError(
            "the benchmark needs the triton package and an NVIDIA GPU of compute capability 8.0 or above; "
            "run it on such a machine (make test checks the kernels on any)"
        )


def run(file: Path, deadline: float) -> None:
    kernels = kernel_cases(CONFIG, DEVICE)
    for case in kernels:
        expected = case.expected()
        for name, form in case.forms.items():
            check(case, name, form.call(*form.arguments), expected)
    machine, ceilings = this_machine(), measured_ceilings()
    print(f"{machine.gpu}, driver {machine.driver}, torch {machine.torch}, triton {machine.triton}, {machine.commit}")
    print(f"ceilings: copy {ceilings.gbs:.0f} GB/s, bf16 product {ceilings.tflops:.0f} TFLOP/s\n\n{table_head()}")
    results: list[Result] = []
    for needed_s, make in planned(kernels):
        if perf_counter() + needed_s > deadline:
            print("no time is left for another case (--minutes)")
            continue
        rows = measure(make(), machine, ceilings, left_out=print)
        append(file, rows)
        results += rows
        print(table_rows(rows), flush=True)
        torch.cuda.empty_cache()
    print(f"\n{'goal, set for an H200':<66}{'target':>9}{'measured':>14}{'ok':>5}")
    print("\n".join(goal.line(results) for goal in GOALS))
    if any(result.what == "restorer" for result in results):
        print(f"\n{how_to_adopt(machine.gpu)}")


def how_to_adopt(gpu: str) -> str:
    """What makes ``backend="auto"`` take the kernels on this GPU, to be said where all that was measured was right."""
    if file := config_file(gpu):
        return f'Every form was right. LoRAIR\'s backend "auto" takes the kernels on this GPU: {file} is there.'
    file = f"{SHIPPED / file_name(gpu)}"
    return (
        f'Every form was right. Where the kernels are worth it, this makes LoRAIR\'s backend "auto" take them on this '
        f"GPU (or in a folder that {FOLDER_VARIABLE} names):\n    echo '{{}}' > {file}"
    )


def planned(kernels: list[Case]) -> Iterator[tuple[float, Callable[[], Case]]]:
    """Seconds that must be left and the case, which is made when its turn comes; the slowest to begin are last."""
    for case in kernels:
        yield 0, lambda case=case: case
    restorer = RestorerCases(CONFIG, DEVICE)
    for size, batch in SHAPES:
        yield 0, lambda size=size, batch=batch: restorer.case(size, batch)
    local = RestorerCases(CONFIG, DEVICE, CONFIG.restorer.local_window)
    for size in LOCAL_SIZES:
        yield 0, lambda size=size: local.case(size, 1)
    yield 0, lambda: training_case(CONFIG, DEVICE)
    for size in COMPILED_SIZES:
        yield COMPILE_S, lambda size=size: restorer.case(size, 1, compiled=True)


if __name__ == "__main__":
    sys.exit(main())
