"""A latency run beside an earlier one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lorair_export.bench.latency.columns import Columns, label, ratio, shown
from lorair_export.bench.latency.report import FORMAT, FORMAT_VERSION

Record = Mapping[str, Any]
Key = tuple[str, str, int, int, int]

# What a figure depends on; the commit is what a comparison is about.
SAME: Final = ("processor", "cores", "gpu", "cuda", "system", "versions", "threads")


def read_record(path: Path) -> Record:
    """A latency.json of this format, or of the first, which timed router and restorer together.

    ValueError where the file is something else.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        known = record["format"] == FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a latency.json ({error}); lorair-bench latency -o FOLDER writes one") from error
    if not known or record.get("format_version") not in (1, FORMAT_VERSION):
        raise ValueError(
            f"{path}: {record['format']} of version {record.get('format_version')}, and this lorair reads {FORMAT} of "
            f"versions 1 and {FORMAT_VERSION}; measure again"
        )
    return record


def compared(before: Record, after: Record) -> Columns:
    """Both runs by model and case, those of one run alone too; the ratios are this run's over the earlier one's."""
    old, new = _rows(before), _rows(after)
    columns: Columns = {name: [] for name in ("model", "images", "part", "p50 ms then", "now", "now / then")}
    columns |= {name: [] for name in ("p99", "MiB", "dB then", "dB now", "")}
    for key in dict.fromkeys([*new, *old]):
        then, now = old.get(key, {}), new.get(key, {})
        model, part, *case = key
        cells = [label(model), "x".join(map(str, case)), part]
        cells += [shown(then.get("p50_ms")), shown(now.get("p50_ms"))]
        cells += [_ratio(now, then, figure) for figure in ("p50_ms", "p99_ms", "peak_rss_mib")]
        cells += [shown(then.get("psnr_db")), shown(now.get("psnr_db")), _note(then, now)]
        for values, cell in zip(columns.values(), cells, strict=True):
            values.append(cell)
    return columns


def differences(before: Record, after: Record) -> list[str]:
    """What of machine and settings is not the same, so that the figures do not tell the code apart."""
    pairs = [(name, before["machine"].get(name), after["machine"].get(name)) for name in SAME]
    pairs.append(("device", before["settings"]["device"], after["settings"]["device"]))
    return [line for name, then, now in pairs for line in _unlike(name, then, now)]


def _unlike(name: str, then: Any, now: Any) -> list[str]:  # noqa: ANN401
    if isinstance(then, dict) and isinstance(now, dict):
        return [line for key in dict.fromkeys([*then, *now]) for line in _unlike(key, then.get(key), now.get(key))]
    return [] if then == now else [f"{name}: {then} then, {now} now"]


def _rows(record: Record) -> dict[Key, Mapping[str, Any]]:
    return {
        (row["model"], row.get("part", "all"), *(row["case"][name] for name in ("batch", "height", "width"))): row
        for row in record["rows"]
    }


def _ratio(now: Mapping[str, Any], then: Mapping[str, Any], figure: str) -> str:
    value = ratio(now.get(figure), then.get(figure))
    return "-" if value is None else f"{value:.2f}"


def _note(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if not then or not now:
        return "only in the earlier run" if then else "only in this run"
    refused = [when for when, row in (("then", then), ("now", now)) if row["refused"] is not None]
    return f"refused {' and '.join(refused)}" if refused else ""
