"""`python -m lorair_kernels.benchmarks`: every kernel on this GPU, compared with torch eager and torch.compile.

torch and triton are enough for it. All outputs are checked before anything is timed.
"""

import sys
from collections.abc import Iterator

from lorair_kernels.benchmarks.case import check
from lorair_kernels.benchmarks.kernel_cases import kernel_cases
from lorair_kernels.benchmarks.kernel_goals import GOALS
from lorair_kernels.benchmarks.run import Planned, exit_code_of, read_options, run_cases

DEVICE = "cuda"


def main(arguments: list[str] | None = None) -> int:
    options = read_options(
        "python -m lorair_kernels.benchmarks",
        "Compare every kernel on this GPU with torch eager and torch.compile.",
        arguments,
    )
    return exit_code_of(lambda: run_cases(checked_cases(), GOALS, options))


def checked_cases() -> Iterator[Planned]:
    """Every kernel's case, all of them checked before the first is measured."""
    cases = kernel_cases(DEVICE)
    for case in cases:
        expected = case.expected()
        for name, form in case.forms.items():
            check(case, name, form.call(*form.arguments), expected)
    return (Planned(lambda case=case: case) for case in cases)


if __name__ == "__main__":
    sys.exit(main())
