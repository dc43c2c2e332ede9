"""What was measured: rows, the CSV file that keeps them, and the printed table."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """The machine and the code that a row was measured with."""

    gpu: str
    driver: str
    torch: str
    triton: str
    commit: str


@dataclass(frozen=True)
class Result:
    """One form of one piece of work.

    `gbs` and `tflops` are the least work over the median, whatever the form does; `fraction_of_roofline` is the
    roofline's time over the median. `peak_mib` is the most that a call allocates, None in a graph or compiled;
    `error` is the relative L2 error and `psnr_db`, of images only, the PSNR, both from float32 or wider.
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

    def figure(self, column: str) -> float | None:
        """A measured column by its name, such as `p50_ms`."""
        value = vars(self)[column]
        assert value is None or isinstance(value, float | int), column
        return value

    def cells(self) -> dict[str, str]:
        """The row as text by column: numbers to five digits, an empty text for None."""
        values = asdict(self.machine) | {key: value for key, value in asdict(self).items() if key != "machine"}
        return {key: _text(value) for key, value in values.items()}


COLUMNS = [field.name for field in (*fields(Machine), *fields(Result)[1:])]
SHOWN = ("p50_ms", "gbs", "tflops", "fraction_of_roofline", "peak_mib", "error", "psnr_db")


def _text(value: object) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def append(file: Path, results: Iterable[Result]) -> None:
    """Append rows to a CSV file, made where it is missing; it is written aside, then renamed.

    Raises:
        ValueError: the file has other columns.
    """
    kept = file.read_text() if file.exists() else ",".join(COLUMNS) + "\n"
    if kept.partition("\n")[0].split(",") != COLUMNS:
        raise ValueError(f"{file} must have the columns {', '.join(COLUMNS)}; rename it to start a new file")
    rows = io.StringIO()
    csv.DictWriter(rows, COLUMNS, lineterminator="\n").writerows(result.cells() for result in results)
    aside = file.with_name(f"{file.name}.partial")
    aside.write_text(kept.rstrip("\n") + "\n" + rows.getvalue())
    os.replace(aside, file)


def table_rows(results: Sequence[Result]) -> str:
    """Lines of the printed table, under `table_head`."""
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
