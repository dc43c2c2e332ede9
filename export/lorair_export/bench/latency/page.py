"""A latency run as one HTML file that loads nothing: the chart inside, every figure, how it was measured."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final, cast

from lorair.plain_data import dict_from_dataclass
from lorair_export.bench.latency.cases import Part
from lorair_export.bench.latency.columns import Columns, label
from lorair_export.bench.latency.record import LatencyRecord

STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1180px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
p { margin: .4rem 0; color: #555 } svg { width: 100%; height: auto }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem }
th, td { padding: .28rem .6rem; border-bottom: 1px solid #e4e4e4; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left; padding-left: 0 } .wide table { width: 100% }
th { font-weight: 600; border-bottom: 2px solid #bbb }
tbody tr:hover { background: #f6f8fa } .facts td { text-align: left; white-space: normal }
.facts td:first-child { color: #777; white-space: nowrap; padding-right: 1.5rem }
"""
MEANINGS: Final = {
    "images": "batch, height and width in pixels",
    "in": "numeric type of the restorer's convolutions",
    "dB": "lowest PSNR of a batch against the reference, torch in float32; 200 if they are equal",
    "p50 ms, p90, p99": "percentiles of a call in milliseconds, with inputs and outputs in host memory",
    "times": "speed-up over the first model, by p50",
    "img/s, MPix/s": "images, and millions of input pixels, per second of consecutive calls",
    "router, restorer": "median milliseconds of separate calls of each part, so their sum may differ from p50",
    "load, first": "milliseconds to load the model in a fresh process, and of its first call",
    "MiB, GPU MiB": "peak resident memory of that process, and peak memory of torch's allocator on the GPU",
}
PARTS: Final = {
    Part.ALL: "Router and restorer",
    Part.ROUTER: "Only the router",
    Part.RESTORER: "Only the restorer, gates and priors given",
}


def page_of(record: LatencyRecord, columns: Columns, chart: str, comparison: Columns | None) -> str:
    """The page of a run.

    Args:
        record: what latency.json holds.
        columns: the measured rows.
        chart: an SVG file's text, empty where nothing was measured.
        comparison: this run compared with an earlier one.
    """
    machine, part = record.machine, record.settings.part
    missing = [(f"{label(row.model)}, {row.case.images}", row.reason) for row in record.rows if row.reason]
    sections = {
        "Figures": _table(columns) if columns else "",
        "No figure": _facts(missing),
        "Compared with the earlier run": _table(comparison) if comparison else "",
        "What the columns mean": _facts(MEANINGS.items()),
        "How it was measured": _facts(_flat(dict_from_dataclass(record.settings))),
        "Where": _facts(_flat(machine)),
    }
    body = "".join(f"<h2>{title}</h2>{content}" for title, content in sections.items() if content)
    summary = (
        f"{PARTS[part]}, on {machine.get('gpu') or machine.get('processor')}, {record.taken}. Outputs are compared "
        f"with those of {label(record.reference)}; a model whose outputs differ gets no figure."
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>lorair latency</title><style>{STYLE}</style>'
        f"<h1>Latency</h1><p>{escape(summary)}</p>{chart[chart.find('<svg') :] if chart else ''}{body}</html>\n"
    )


def _table(columns: Columns) -> str:
    head = _row("th", list(columns))
    lines = "".join(_row("td", cells) for cells in zip(*columns.values(), strict=True))
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>'


def _facts(pairs: Iterable[tuple[str, object]]) -> str:
    lines = "".join(_row("td", [name, str(value)]) for name, value in pairs)
    return f'<table class="facts">{lines}</table>' if lines else ""


def _row(cell: str, texts: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{cell}>{escape(text)}</{cell}>' for text in texts)}</tr>"


def _flat(facts: Mapping[str, object]) -> list[tuple[str, object]]:
    """Facts in facts as one line, without what is not known."""
    return [(name, _line(value)) for name, value in facts.items() if value is not None and value != {}]


def _line(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return ", ".join(f"{key} {item}" for key, item in cast("Mapping[str, object]", value).items() if item)
