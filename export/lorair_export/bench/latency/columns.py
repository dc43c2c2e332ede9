"""Figures of a latency run as texts in columns, for the screen and for the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.markup import escape
from rich.table import Table

from lorair.inference import SCHEME
from lorair_export.bench.latency.rows import Row

PAGE_ONLY: Final = ("calls", "load")

Columns = dict[str, list[str]]


def columns_of(rows: Sequence[Row]) -> Columns:
    """The measured rows as columns of text by heading; columns without figures are left out.

    `times` is the speed-up over the run's first model.
    """
    first = {row.case: row.p50_ms for row in rows if row.model == rows[0].model}
    rows = [row for row in rows if row.reason is None]
    columns: dict[str, list[str | float | None]] = {
        "model": [label(row.model) for row in rows],
        "images": [row.case.images for row in rows],
        "in": [row.precision for row in rows],
        "dB": [row.psnr_db for row in rows],
        "calls": [str(row.calls) for row in rows],
        "p50 ms": [row.p50_ms for row in rows],
        "p90": [row.p90_ms for row in rows],
        "p99": [row.p99_ms for row in rows],
        "times": [ratio(first.get(row.case), row.p50_ms) for row in rows],
        "img/s": [row.images_per_s for row in rows],
        "MPix/s": [row.mpix_per_s for row in rows],
        "router": [row.router_ms for row in rows],
        "restorer": [row.restorer_ms for row in rows],
        "load": [row.load_ms for row in rows],
        "first": [row.first_call_ms for row in rows],
        "MiB": [row.peak_rss_mib for row in rows],
        "GPU MiB": [row.peak_cuda_mib for row in rows],
    }
    held = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return {name: [shown(value) for value in values] for name, values in held.items()}


def table_of(columns: Columns) -> Table:
    """Columns as they are shown on the screen, those of `PAGE_ONLY` left out."""
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    narrow = {name: values for name, values in columns.items() if name not in PAGE_ONLY}
    for name in narrow:
        if name == "model":
            table.add_column(name, overflow="fold", min_width=8)
        else:
            table.add_column(name, justify="right", no_wrap=True)
    for cells in zip(*narrow.values(), strict=True):
        table.add_row(*map(escape, cells))
    return table


def label(model: str) -> str:
    """A model as it is shown: its last name, after the scheme where that chose the runtime."""
    scheme = SCHEME.match(model)
    name = Path(model).name
    if scheme is None or model.startswith(f"{scheme.group()}//"):
        return name
    return scheme.group() + name.removeprefix(scheme.group())


def ratio(before: float | None, after: float | None) -> float | None:
    return before / after if before is not None and after is not None else None


def shown(value: str | float | None) -> str:
    """A figure of three digits or more, a text as it is, and a dash for nothing."""
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
