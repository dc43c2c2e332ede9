"""What was measured: rows, the file that keeps them, and the goals that they are held against."""

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What a row was measured with."""

    gpu: str
    driver: str
    torch: str
    triton: str
    commit: str


@dataclass(frozen=True)
class Result:
    """One form of one piece of work.

    ``gbs`` and ``tflops`` are of the least work, whatever the form does; ``fraction_of_roofline`` is the roofline's
    time over the median. ``peak_mib`` is what a call allocates at most, None in a graph or compiled; ``error`` the
    relative L2 distance and ``psnr_db``, of images, the PSNR from float32 or wider.
    """

    machine: Machine
    what: str
    form: str
    shape: str
    dtype: str
    p20_ms: float
    p50_ms: float
    p80_ms: float
    gbs: float
    tflops: float
    fraction_of_roofline: float
    peak_mib: float | None
    error: float
    psnr_db: float | None

    def cells(self) -> dict[str, str]:
        """The row as text by column, numbers to five digits, nothing where there is none."""
        values = asdict(self.machine) | {key: value for key, value in asdict(self).items() if key != "machine"}
        return {key: _text(value) for key, value in values.items()}


COLUMNS = [field.name for field in (*fields(Machine), *fields(Result)[1:])]
SHOWN = ("p50_ms", "gbs", "tflops", "fraction_of_roofline", "peak_mib", "error", "psnr_db")


def _text(value: object) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def append(file: Path, results: Iterable[Result]) -> None:
    """Add rows below those of a CSV file, which is written aside and then put in its place.

    Raises:
        ValueError: the file's columns are others.
    """
    kept = file.read_text() if file.exists() else ",".join(COLUMNS) + "\n"
    if kept.partition("\n")[0].split(",") != COLUMNS:
        raise ValueError(f"{file} has other columns than {', '.join(COLUMNS)}; move it away to start another")
    rows = io.StringIO()
    csv.DictWriter(rows, COLUMNS, lineterminator="\n").writerows(result.cells() for result in results)
    aside = file.with_name(f"{file.name}.partial")
    aside.write_text(kept.rstrip("\n") + "\n" + rows.getvalue())
    os.replace(aside, file)


def table_rows(results: Sequence[Result]) -> str:
    """Rows of the printed table, one a line under :func:`table_head`."""
    lines: list[str] = []
    for result in results:
        cells = result.cells()
        numbers = "".join(f"{cells[name]:>11}" for name in SHOWN)
        lines.append(f"{result.what:<24.24}{result.shape:<20.20}{result.dtype:<9}{result.form:<26.26}{numbers}")
    return "\n".join(lines)


def table_head() -> str:
    """The head of the printed table."""
    names = ("p50 ms", "GB/s", "TFLOP/s", "of roof", "peak MiB", "error", "PSNR dB")
    return f"{'what':<24}{'shape':<20}{'dtype':<9}{'form':<26}" + "".join(f"{name:>11}" for name in names)


Measure = Callable[[Sequence[Result]], float | None]


@dataclass(frozen=True)
class Goal:
    """A figure to reach, ``low`` <= measured <= ``high``, and how it follows from the rows; None where it cannot."""

    text: str
    measured: Measure
    low: float = 0.0
    high: float = math.inf

    def line(self, results: Sequence[Result]) -> str:
        """Goal, figure, verdict."""
        value = self.measured(results)
        target = f"<= {self.high:g}" if self.high < math.inf else f">= {self.low:g}"
        verdict = "" if value is None else "yes" if self.low <= value <= self.high else "no"
        return f"{self.text:<66}{target:>9}{'not measured' if value is None else f'{value:.3g}':>14}{verdict:>5}"


def figure(what: str, form: str, shape: str, column: str) -> Measure:
    """A column of one row, of the last case where several measured it, so that ratios are of one case."""
    return lambda results: next(
        (getattr(r, column) for r in reversed(results) if (r.what, r.form, r.shape) == (what, form, shape)), None
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
