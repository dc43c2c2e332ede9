"""A load as lines on the screen, a JSON record and a chart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lorair_export.extras import require

from lorair.system import machine_facts, write_text, written_aside
from lorair_serving.load.generator import LoadReport

FORMAT = "lorair-load"
FORMAT_VERSION = 1


def lines_of(report: LoadReport, peer: float | None) -> list[str]:
    """What happened, in a few lines; ``peer`` is the images per second of the runtime alone."""
    load = report.load
    how = f"{load.clients} clients" if load.clients is not None else f"{load.rate:g} images a second asked"
    lines = [f"{how}, {report.took_s:.0f} s: {len(report.outcomes)} images, {report.images_per_s:.2f} images/s"]
    if report.latency_ms:
        lines.append("latency ms: " + ", ".join(f"p{p} {value:.0f}" for p, value in report.latency_ms.items()))
    for model, account in report.accounts.items():
        if account.executions:
            lines.append(
                f"{model}: {account.inferences} in {account.executions} executions, {account.mean_batch:.1f} a batch, "
                f"each queued {account.queue_ms / account.inferences:.0f} ms, "
                f"computed {account.compute_ms / account.inferences:.0f} ms"
            )
    if peer is not None:
        lines.append(f"the runtime alone, same batches: {peer:.2f} images/s; service {report.images_per_s / peer:.2f}x")
    lines += [f"error, {count} times: {error}" for error, count in report.errors.items()]
    return lines


def record_of(report: LoadReport, sizes: Sequence[tuple[int, int]], peer: float | None) -> dict[str, Any]:
    """Everything about a load as plain data."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": asdict(report.load),
        "sizes": [f"{height}x{width}" for height, width in sizes],
        "machine": machine_facts(),
        "took_s": report.took_s,
        "images_per_s": report.images_per_s,
        "runtime_alone_images_per_s": peer,
        "latency_ms": {f"p{p}": value for p, value in report.latency_ms.items()},
        "errors": dict(report.errors),
        "server": {
            model: {**asdict(account), "mean_batch": account.mean_batch} for model, account in report.accounts.items()
        },
        "outcomes": [asdict(outcome) for outcome in report.outcomes],
    }


def write_report(folder: Path, record: Mapping[str, Any], report: LoadReport) -> list[Path]:
    """Write load.json and load.png into a folder, each aside and then renamed; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "load.json", json.dumps(record, indent=2, allow_nan=False) + "\n")
    with written_aside(folder / "load.png") as aside:
        _draw(report, aside)
    return [folder / "load.json", folder / "load.png"]


def _draw(report: LoadReport, path: Path) -> None:
    """Every answer's latency over the time that its request began, with the percentiles as lines."""
    require("matplotlib")
    from matplotlib.figure import Figure

    answered = [outcome for outcome in report.outcomes if outcome.error is None]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([o.began_s for o in answered], [o.latency_ms for o in answered], s=8, color="tab:blue")
    for failed in (outcome for outcome in report.outcomes if outcome.error is not None):
        axes.axvline(failed.began_s, color="tab:red", linewidth=0.5)
    for percentile, value in report.latency_ms.items():
        axes.axhline(value, color="gray", linewidth=0.8)
        axes.annotate(f"p{percentile}", (1, value), xycoords=("axes fraction", "data"), fontsize=8)
    axes.set_xlabel("seconds since the load began")
    axes.set_ylabel("latency in ms")
    axes.set_ylim(bottom=0)
    axes.set_title(
        f"{report.images_per_s:.2f} images/s, {len(answered)} of {len(report.outcomes)} answered", loc="left"
    )
    figure.savefig(path, format="png", dpi=120)
