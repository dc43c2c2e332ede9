"""A latency run as a table on the screen, a JSON record and a chart."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from lorair_export.extras import require
from lorair_export.latency import Rounds, Row
from lorair_export.openvino_runtime import PRECISIONS

FORMAT = "lorair-latency"
FORMAT_VERSION = 1
COLUMNS = ("images", "p50 ms", "p90", "p99", "img/s", "router", "restorer", "first", "MiB")


def record_of(
    rows: Sequence[Row], reference: str, rounds: Rounds, device: str, machine: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything about a run as plain data; ``reference`` is the model that the others were judged by."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "reference": reference,
        "settings": {
            **asdict(rounds),
            "device": device,
            "order": "interleaved",
            "images": "example photographs",
            "host_copies": "included",
        },
        "machine": dict(machine),
        "rows": [asdict(row) for row in rows],
    }


def table_of(rows: Sequence[Row]) -> Table:
    """The measured rows as they are shown."""
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column("model", overflow="fold", min_width=8)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if row.refused is not None:
            continue
        figures = (row.p50_ms, row.p90_ms, row.p99_ms, row.images_per_s, row.router_ms, row.restorer_ms)
        figures += (row.first_call_ms, row.peak_cuda_mib or row.peak_rss_mib)
        table.add_row(label(row.model), str(row.case), *map(_figure, figures))
    return table


def label(model: str) -> str:
    """A model as it is shown: its last name, after the scheme where that chose the runtime."""
    scheme, name = model.partition(":")[0], Path(model).name
    return f"{scheme}:{name}" if scheme in PRECISIONS else name


def write_report(folder: Path, record: Mapping[str, Any], rows: Sequence[Row]) -> list[Path]:
    """Write latency.json and latency.png into a folder, each aside and then renamed; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / ".latency.json"
    aside.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(aside, folder / "latency.json")
    written = [folder / "latency.json"]
    if any(row.refused is None for row in rows):
        aside = folder / ".latency.png"
        _draw(rows, aside)
        os.replace(aside, folder / "latency.png")
        written.append(folder / "latency.png")
    return written


def _draw(rows: Sequence[Row], path: Path) -> None:
    """Horizontal bars of the medians, with lines to the 99th percentile, one group per case."""
    require("matplotlib")
    from matplotlib.figure import Figure

    measured = [row for row in rows if row.refused is None]
    models = list(dict.fromkeys(row.model for row in rows))
    figure = Figure(figsize=(8, 1 + 0.4 * len(measured)), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(measured):
        assert row.p50_ms is not None and row.p99_ms is not None
        colour = f"C{models.index(row.model)}"
        spread = [[0.0], [row.p99_ms - row.p50_ms]]
        axes.barh(place, row.p50_ms, xerr=spread, color=colour, ecolor="0.3", capsize=3)
    axes.set_yticks(range(len(measured)), [f"{label(row.model)}  {row.case}" for row in measured])
    axes.invert_yaxis()
    axes.set_xlabel("ms per call: median, line to the 99th percentile")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, format="png")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
