"""The files of a latency run: a JSON record, a page that needs no other file, and a chart."""

import errno
import json
import os
from pathlib import Path

from lorair.plain_data import dict_from_dataclass
from lorair.system import write_bytes
from lorair_export.bench.latency.chart import drawn
from lorair_export.bench.latency.columns import Columns, columns_of
from lorair_export.bench.latency.page import page_of
from lorair_export.bench.latency.record import LatencyRecord
from lorair_export.extras import require


def prepare_report(folder: Path) -> None:
    """Make the folder, and fail before measuring if a report cannot be written.

    Raises:
        OSError: the folder cannot be made or written to.
        RuntimeUnavailableError: matplotlib is missing.
    """
    require("matplotlib")
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "this folder cannot be written to", str(folder))


def write_report(folder: Path, record: LatencyRecord, comparison: Columns | None = None) -> list[Path]:
    """Write latency.json, if a row was measured latency.png, and latency.html into a folder; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    # The figures first: drawing may fail, and cannot be repeated without them.
    written = [_write(folder / "latency.json", json_of(record))]
    chart = ""
    if any(row.reason is None for row in record.rows):
        written.append(_write(folder / "latency.png", drawn(record.rows, "png")))
        chart = drawn(record.rows, "svg").decode()
    page = page_of(record, columns_of(record.rows), chart, comparison)
    return [*written, _write(folder / "latency.html", page.encode())]


def json_of(record: LatencyRecord) -> bytes:
    return f"{json.dumps(dict_from_dataclass(record), indent=2, allow_nan=False)}\n".encode()


def _write(path: Path, content: bytes) -> Path:
    write_bytes(path, content)
    return path
