"""Goals: figures to reach, each computed from the measured rows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lorair_kernels.benchmarks.results import Result

Measure = Callable[[Sequence[Result]], float | None]


@dataclass(frozen=True)
class Goal:
    """A figure to reach, `low` <= measured <= `high`; `measured` computes it from the rows, None without them."""

    text: str
    measured: Measure
    low: float = 0.0
    high: float = math.inf

    def line(self, results: Sequence[Result]) -> str:
        """The printed line: goal, target, figure, whether it is reached."""
        value = self.measured(results)
        target = f"<= {self.high:g}" if self.high < math.inf else f">= {self.low:g}"
        verdict = "" if value is None else "yes" if self.low <= value <= self.high else "no"
        return f"{self.text:<66}{target:>9}{'not measured' if value is None else f'{value:.3g}':>14}{verdict:>5}"


def figure(what: str, form: str, shape: str, column: str) -> Measure:
    """A column of one row; of the last case where several measured it, so that a ratio is of one case."""
    return lambda results: next(
        (r.figure(column) for r in reversed(results) if (r.what, r.form, r.shape) == (what, form, shape)), None
    )


def ratio(what: str, shape: str, above: str, below: str, column: str = "p50_ms") -> Measure:
    """A column of one form over that of another on the same work."""

    def measured(results: Sequence[Result]) -> float | None:
        top, bottom = (figure(what, form, shape, column)(results) for form in (above, below))
        return top / bottom if top is not None and bottom else None

    return measured


def worst_ratio(what: str, above: str, below: str) -> Measure:
    """The largest ratio of two forms' medians over all shapes that both were measured at."""

    def measured(results: Sequence[Result]) -> float | None:
        shapes = dict.fromkeys(result.shape for result in results if result.what == what)
        ratios = (ratio(what, shape, above, below)(results) for shape in shapes)
        return max((value for value in ratios if value is not None), default=None)

    return measured


def table_of(goals: Sequence[Goal], results: Sequence[Result]) -> str:
    """The printed table of goals."""
    head = f"{'goal, set for an H200':<66}{'target':>9}{'measured':>14}{'ok':>5}"
    return "\n".join([head, *(goal.line(results) for goal in goals)])
