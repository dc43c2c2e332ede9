"""A latency run drawn: time, throughput and memory, a row of panels for each case."""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from lorair_export.bench.latency.columns import label
from lorair_export.bench.latency.rows import Row
from lorair_export.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = ("ms per call, line to the 99th percentile", "MPix/s", "peak memory of the process, MiB")


def drawn(rows: Sequence[Row], form: Literal["png", "svg"]) -> bytes:
    """A picture of the rows that have figures, as PNG, or as SVG whose text is text."""
    require("matplotlib")
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    cases = list(dict.fromkeys(row.case for row in rows if row.reason is None))
    groups = [[row for row in rows if row.case == case and row.reason is None] for case in cases]
    colours = {model: f"C{index}" for index, model in enumerate(dict.fromkeys(row.model for row in rows))}
    heights = [len(group) + 1 for group in groups]
    layout = ConstrainedLayoutEngine(wspace=0.05, hspace=0.03)
    figure = Figure(figsize=(11, 0.6 + 0.34 * sum(heights)), layout=layout)
    panels = figure.subplots(len(cases), 3, squeeze=False, sharey="row", height_ratios=heights)
    for line, group in zip(panels, groups, strict=True):
        _draw_case(line, group, [colours[row.model] for row in group])
    for axes, title in zip(panels[-1], PANELS, strict=True):
        axes.set_xlabel(title)
    picture = BytesIO()
    nameless = dict.fromkeys(("Creator", "Date", "Format", "Type")) if form == "svg" else None
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lorair"}):
        figure.savefig(picture, format=form, dpi=150, metadata=nameless)
    return picture.getvalue()


def _draw_case(panels: "Sequence[Axes]", rows: Sequence[Row], colours: Sequence[str]) -> None:
    places = range(len(rows))
    time, throughput, memory = panels
    p50, p99 = [row.p50_ms or 0.0 for row in rows], [row.p99_ms or 0.0 for row in rows]
    spread = [[0.0] * len(rows), [high - low for low, high in zip(p50, p99, strict=True)]]
    time.barh(places, p50, xerr=spread, color=colours, ecolor="0.3", capsize=3)
    throughput.barh(places, [row.mpix_per_s or 0.0 for row in rows], color=colours)
    memory.barh(places, [row.peak_rss_mib or 0.0 for row in rows], color=colours)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    case = rows[0].case
    time.set_title(f"{case.batch} x {case.height} x {case.width}", loc="left", fontsize="medium", fontweight="bold")
    time.set_yticks(places, [label(row.model) for row in rows], parse_math=False)
    time.invert_yaxis()
