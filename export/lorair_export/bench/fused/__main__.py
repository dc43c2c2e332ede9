"""`python -m lorair_export.bench.fused`: the fused restorer on this GPU, compared with its other forms."""

import sys
from collections.abc import Iterator
from functools import partial

from lorair_kernels.benchmarks import Planned, exit_code_of, read_options, run_cases
from lorair_kernels.launch import FOLDER_VARIABLE, SHIPPED, gpu_file, gpu_file_name

from lorair.model import PRESETS
from lorair_export.bench.fused.cases import RestorerCases
from lorair_export.bench.fused.goals import GOALS
from lorair_export.bench.fused.training import training_case

CONFIG = PRESETS["lorair-64"]
DEVICE = "cuda"
SHAPES = [(256, 1), (512, 1), (1024, 1), (256, 4), (256, 8), (256, 16), (512, 4), (512, 16), (1024, 4), (1024, 16)]
LOCAL_SIZES = (512, 1024)
COMPILED_SIZES = (512, 256, 1024)
COMPILE_S = 150  # what torch.compile may take to tune a restorer


def main(arguments: list[str] | None = None) -> int:
    options = read_options(
        "python -m lorair_export.bench.fused",
        "Compare the restorer by the fused kernels on this GPU with eager, compiled and published forms.",
        arguments,
    )

    def run() -> None:
        results = run_cases(planned(), GOALS, options)
        if any(result.what == "restorer" for result in results):
            print(f"\n{how_to_adopt(results[0].machine.gpu)}")

    return exit_code_of(run)


def planned() -> Iterator[Planned]:
    """All cases; those that take longest to compile are last."""
    restorer = RestorerCases(CONFIG, DEVICE)
    yield Planned(restorer.merge_case)
    for size, batch in SHAPES:
        yield Planned(partial(restorer.case, size, batch))
    local = RestorerCases(CONFIG, DEVICE, CONFIG.restorer.local_window)
    for size in LOCAL_SIZES:
        yield Planned(partial(local.case, size, 1))
    yield Planned(partial(training_case, CONFIG, DEVICE))
    for size in COMPILED_SIZES:
        yield Planned(partial(restorer.case, size, 1, compiled=True), COMPILE_S)


def how_to_adopt(gpu: str) -> str:
    """How the backend `"auto"` is made to use the kernels on this GPU; printed where every form was right."""
    if file := gpu_file(gpu):
        return f'All outputs are within tolerance. backend="auto" uses the kernels on this GPU, because {file} exists.'
    return (
        'All outputs are within tolerance. If the kernels are faster here, make backend="auto" use them on this GPU '
        f"by an empty launch file, there or in a folder that {FOLDER_VARIABLE} names:\n"
        f"    echo '{{}}' > {SHIPPED / gpu_file_name(gpu)}"
    )


if __name__ == "__main__":
    sys.exit(main())
