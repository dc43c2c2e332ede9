"""What a latency run leaves: a JSON record, a page that stands by itself, and a chart."""

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from lorair.system import write_bytes
from lorair_export.bench.latency.cases import Part, Plan
from lorair_export.bench.latency.chart import drawn
from lorair_export.bench.latency.columns import Columns, columns_of
from lorair_export.bench.latency.page import page_of
from lorair_export.bench.latency.rows import Row
from lorair_export.extras import require

FORMAT: Final = "lorair-latency"
FORMAT_VERSION: Final = 2


def record_of(rows: Sequence[Row], reference: str, plan: Plan, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Everything about a run as plain data; ``reference`` is the model that the others were judged by."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "reference": reference,
        "settings": {
            **plan.about,
            "part": plan.part,
            "experts": "mixed, another for each image" if plan.part is Part.RESTORER else "by the router",
            **asdict(plan.rounds),
            "device": plan.device,
            "order": "interleaved",
            "images": "example photographs",
            "host_copies": "included",
        },
        "machine": dict(machine),
        "rows": [asdict(row) for row in rows],
    }


def prepare_report(folder: Path) -> None:
    """Make the folder, and find out before hours of measuring what would keep a report from being written.

    Raises:
        OSError: the folder cannot be made or written to.
        RuntimeUnavailableError: matplotlib is missing.
    """
    require("matplotlib")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "this folder cannot be written to", str(folder))


def write_report(
    folder: Path, record: Mapping[str, Any], rows: Sequence[Row], comparison: Columns | None = None
) -> list[Path]:
    """Write latency.json, if a row was measured latency.png, and latency.html into a folder; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    # The figures first: drawing may fail, and cannot be repeated without them.
    written = [_write(folder / "latency.json", f"{json.dumps(record, indent=2, allow_nan=False)}\n".encode())]
    chart = ""
    if any(row.refused is None for row in rows):
        written.append(_write(folder / "latency.png", drawn(rows, "png")))
        chart = drawn(rows, "svg").decode()
    page = page_of(record, columns_of(rows), chart, comparison)
    return [*written, _write(folder / "latency.html", page.encode())]


def _write(path: Path, content: bytes) -> Path:
    write_bytes(path, content)
    return path
