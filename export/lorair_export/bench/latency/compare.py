"""A latency run compared with an earlier one."""

from collections.abc import Mapping
from typing import Final, cast

from lorair_export.bench.latency.cases import Case, Part
from lorair_export.bench.latency.columns import Columns, label, ratio, shown
from lorair_export.bench.latency.record import LatencyRecord
from lorair_export.bench.latency.rows import Row

Key = tuple[str, Part, Case]

# What a figure depends on; the commit is what runs are compared for.
SAME: Final = ("processor", "cores", "gpu", "cuda", "system", "versions", "threads")
HEADINGS: Final = (
    "model", "images", "part", "p50 ms then", "now", "now / then", "p99", "MiB", "dB then", "dB now", ""
)  # fmt: skip


def compared(before: LatencyRecord, after: LatencyRecord) -> Columns:
    """Both runs by model and case, also those of only one run; the ratios are this run's over the earlier one's."""
    old, new = _rows(before), _rows(after)
    lines = [_cells(key, old.get(key), new.get(key)) for key in dict.fromkeys([*new, *old])]
    return {heading: [line[index] for line in lines] for index, heading in enumerate(HEADINGS)}


def differences(before: LatencyRecord, after: LatencyRecord) -> list[str]:
    """Differences of machine and device, which can explain a difference in figures."""
    machine = [line for name in SAME for line in _unlike(name, before.machine.get(name), after.machine.get(name))]
    return [*machine, *_unlike("device", before.settings.device, after.settings.device)]


def _unlike(name: str, then: object, now: object) -> list[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        old, new = cast("Mapping[str, object]", then), cast("Mapping[str, object]", now)
        return [line for key in dict.fromkeys([*old, *new]) for line in _unlike(key, old.get(key), new.get(key))]
    return [] if then == now else [f"{name}: {then} then, {now} now"]


def _rows(record: LatencyRecord) -> dict[Key, Row]:
    return {(row.model, row.part, row.case): row for row in record.rows}


def _cells(key: Key, then: Row | None, now: Row | None) -> list[str]:
    model, part, case = key
    figures = [(row.p50_ms, row.p99_ms, row.peak_rss_mib, row.psnr_db) if row else (None,) * 4 for row in (then, now)]
    (p50_then, p99_then, mib_then, db_then), (p50, p99, mib, db) = figures
    ratios = [_ratio(p50, p50_then), _ratio(p99, p99_then), _ratio(mib, mib_then)]
    return [
        *(label(model), case.images, part, shown(p50_then), shown(p50), *ratios),
        *(shown(db_then), shown(db), _note(then, now)),
    ]


def _ratio(now: float | None, then: float | None) -> str:
    value = ratio(now, then)
    return "-" if value is None else f"{value:.2f}"


def _note(then: Row | None, now: Row | None) -> str:
    if then is None or now is None:
        return "only in this run" if then is None else "only in the earlier run"
    missing = [when for when, row in (("then", then), ("now", now)) if row.reason is not None]
    return f"no figure {' and '.join(missing)}" if missing else ""
