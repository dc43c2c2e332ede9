"""An evaluation as tables on the screen and as files, each written aside and then renamed."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from rich.table import Table

from lorair.evaluation.evaluate import Score
from lorair.evaluation.metrics import PROTOCOLS
from lorair.evaluation.sheet import Sheet
from lorair.evaluation.summary import AVERAGE, TaskSummary, average, confusion, summarize
from lorair.images import write_image
from lorair.settings import Published
from lorair.system import write_text

FORMAT: Final = "lorair-evaluation"
FORMAT_VERSION: Final = 1


def task_table(summaries: Sequence[TaskSummary]) -> Table:
    """PSNR and SSIM of the degraded and the restored images, LPIPS and router accuracy, by task and on average."""
    shown = [*summaries, average(summaries)] if len(summaries) > 1 else list(summaries)
    lpips = any(summary.lpips is not None for summary in shown)
    routed = any(summary.accuracy is not None for summary in shown)
    table = _table("task", "images", "input", "", "restored", "", *["LPIPS"] * lpips, *["router right"] * routed)
    for summary in shown:
        cells = [*_scores(*summary.before), *_scores(*summary.after)]
        cells += [_figure(summary.lpips, 4)] * lpips + [_figure(summary.accuracy, 2)] * routed
        table.add_row(summary.task, str(summary.images), *cells)
    return table


def confusion_table(counts: Mapping[str, Counter[str]], degradations: Sequence[str]) -> Table:
    """Images by what they are (rows) and what the router took them for (columns)."""
    table = _table("is / taken for", *degradations)
    for expert, seen in counts.items():
        table.add_row(expert, *(str(seen[name] or "·") for name in degradations))
    return table


def published_table(summaries: Sequence[TaskSummary], rows: Sequence[Published]) -> Table:
    """The model's PSNR above its SSIM, and beneath it those of papers, whose sources the caption numbers.

    An average is the published one, but the mean of the tasks where a row has more tasks than were measured.
    """
    images = sum(summary.images for summary in summaries)
    measured = Published(
        "this model", f"measured, {images} images", {summary.task: summary.after for summary in summaries}
    )
    sources = list(dict.fromkeys(row.source for row in (measured, *rows) if row.figures))
    table = _table("PSNR, SSIM", *(summary.task for summary in summaries), AVERAGE, "from")
    table.caption = "; ".join(f"{number} {source}" for number, source in enumerate(sources, 1))
    for row in (measured, *rows):
        figures = [row.figures.get(summary.task, ()) for summary in summaries]
        means = [fmean(column) for column in zip(*figures, strict=False)] if all(figures) else ()
        if row.figures.keys() <= {AVERAGE, *(summary.task for summary in summaries)}:
            means = row.figures.get(AVERAGE, means)
        cells = [_short(entry) for entry in (*figures, means)]
        if any(cells):
            table.add_row(row.method, *(cell or "-" for cell in cells), str(sources.index(row.source) + 1))
    return table


def record_of(scores: Sequence[Score], settings: Mapping[str, Any], rows: Sequence[Published] = ()) -> dict[str, Any]:
    """Everything about an evaluation as plain data; ``settings`` says what was evaluated and how."""
    summaries = summarize(scores)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "lorair": version("lorair"),
        "settings": dict(settings),
        "protocols": {name: asdict(PROTOCOLS[name]) for name in dict.fromkeys(score.protocol for score in scores)},
        "tasks": [_plain(summary) for summary in summaries],
        "average": _plain(average(summaries)),
        "confusion": confusion(scores),
        "published": [asdict(row) for row in rows],
    }


def write_report(folder: Path, record: Mapping[str, Any], scores: Sequence[Score], sheet: Sheet) -> list[Path]:
    """Write evaluation.json, images.csv (one line per image) and sheet.png into a folder; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("evaluation.json", "images.csv", "sheet.png")]
    write_text(paths[0], json.dumps(record, indent=2, allow_nan=False, default=str) + "\n")
    write_text(paths[1], csv_of(scores))
    write_image(paths[2], sheet.draw())
    return paths


def csv_of(scores: Sequence[Score]) -> str:
    """One line per image."""
    degradations = list(scores[0].gates)
    columns = ["name", "task", "protocol", "height", "width", "input_psnr", "input_ssim", "psnr", "ssim", "lpips"]
    columns += ["expert", "seen", *(f"gate_{name}" for name in degradations), "seconds", "notes"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for score in scores:
        row: list[Any] = [score.name, score.task, score.protocol, score.height, score.width, *score.before]
        row += [*score.after, score.lpips, score.expert, score.seen, *(score.gates[name] for name in degradations)]
        writer.writerow([*row, round(score.seconds, 4), "; ".join(score.notes)])
    return text.getvalue()


def _plain(summary: TaskSummary) -> dict[str, Any]:
    """JSON has no infinity: the PSNR of equal images becomes null."""
    finite = {
        f"{prefix}{name}": value if math.isfinite(value) else None
        for prefix, scores in (("input_", summary.before), ("", summary.after))
        for name, value in scores._asdict().items()
    }
    rest = asdict(summary)
    del rest["before"], rest["after"]
    return rest | finite


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="bold", caption_justify="left")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold", min_width=5)
    return table


def _scores(psnr: float, ssim: float) -> tuple[str, str]:
    return f"{psnr:.2f} dB", f"{ssim:.4f}"


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _short(figures: Sequence[float]) -> str:
    return "\n".join(f"{value:.{digits}f}" for value, digits in zip(figures, (2, 3), strict=False))
