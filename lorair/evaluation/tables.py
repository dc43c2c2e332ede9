"""An evaluation as tables for the terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from rich.table import Table

from lorair.evaluation.summary import AVERAGE, TaskSummary, average
from lorair.settings import Published


def task_table(summaries: Sequence[TaskSummary]) -> Table:
    """PSNR and SSIM of the degraded and the restored images, LPIPS and router accuracy, by task and on average."""
    shown = [*summaries, average(summaries)] if len(summaries) > 1 else list(summaries)
    lpips = any(summary.lpips is not None for summary in shown)
    routed = any(summary.accuracy is not None for summary in shown)
    table = _table("task", "images", "input", "", "restored", "", *["LPIPS"] * lpips, *["router accuracy"] * routed)
    for summary in shown:
        cells = [*_scores(*summary.before), *_scores(*summary.after)]
        cells += [_figure(summary.lpips, 4)] * lpips + [_figure(summary.accuracy, 2)] * routed
        table.add_row(summary.task, str(summary.images), *cells)
    return table


def confusion_table(counts: Mapping[str, Counter[str]], degradations: Sequence[str]) -> Table:
    """Images by their degradation (rows) and the one that the router predicted (columns)."""
    table = _table("true / predicted", *degradations)
    for expert, seen in counts.items():
        table.add_row(expert, *(str(seen[name] or "·") for name in degradations))
    return table


def published_table(summaries: Sequence[TaskSummary], rows: Sequence[Published]) -> Table:
    """The model's PSNR above its SSIM, and beneath it those of papers, whose sources the caption numbers.

    An average is the published one, or the mean of the tasks where a row has more tasks than were measured.
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
