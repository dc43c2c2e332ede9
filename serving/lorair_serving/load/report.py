"""A load as lines on the screen, a JSON record and a chart."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lorair_export.extras import require

from lorair.plain_data import dict_from_dataclass
from lorair.system import machine_facts, write_text, written_aside
from lorair_serving.client import ModelCounters
from lorair_serving.load.outcomes import Load, LoadReport, Outcome

FORMAT = "lorair-load"
FORMAT_VERSION = 2


@dataclass(frozen=True)
class LoadRecord:
    """A load on a service, as load.json holds it.

    Attributes:
        taken: when, in UTC.
        sizes: of the images, height x width.
        machine: that of the load generator.
        took_s: until the last answer.
        images_per_s: answered.
        runtime_images_per_s: of the runtime without the service, null where it was not measured.
        latency_ms: by percentile (p50, p90, p99), of the images that were answered.
        errors: how often each error occurred.
        server: the server's own counters by model, during the load.
        outcomes: every request, in the order of the answers.
    """

    format: str
    format_version: int
    taken: str
    load: Load
    sizes: Sequence[str]
    machine: Mapping[str, Any]
    took_s: float
    images_per_s: float
    runtime_images_per_s: float | None
    latency_ms: Mapping[str, float]
    errors: Mapping[str, int]
    server: Mapping[str, ModelCounters]
    outcomes: Sequence[Outcome]


def record_of(report: LoadReport, sizes: Sequence[tuple[int, int]], peer: float | None) -> LoadRecord:
    """The record of a load; ``peer`` is the images per second of the runtime without the service."""
    return LoadRecord(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        load=report.load,
        sizes=[f"{height}x{width}" for height, width in sizes],
        machine=machine_facts(),
        took_s=report.took_s,
        images_per_s=report.images_per_s,
        runtime_images_per_s=peer,
        latency_ms=report.latency_ms,
        errors=report.errors,
        server=report.counters,
        outcomes=report.outcomes,
    )


def lines_of(record: LoadRecord) -> Iterator[str]:
    """What happened, in a few lines."""
    load = record.load
    how = f"{load.clients} clients" if load.clients is not None else f"{load.rate:g} images/s requested"
    yield f"{how}, {record.took_s:.0f} s: {len(record.outcomes)} images, {record.images_per_s:.2f} images/s"
    if record.latency_ms:
        yield "latency ms: " + ", ".join(f"{name} {value:.0f}" for name, value in record.latency_ms.items())
    for model, counted in record.server.items():
        if counted.executions:
            yield (
                f"{model}: {counted.inferences} in {counted.executions} executions, mean batch "
                f"{counted.mean_batch:.1f}, mean queue time {counted.queue_ms / counted.inferences:.0f} ms, "
                f"mean compute time {counted.compute_ms / counted.inferences:.0f} ms"
            )
    if (peer := record.runtime_images_per_s) is not None:
        ratio = record.images_per_s / peer
        yield f"runtime without service, same batches: {peer:.2f} images/s; service/runtime {ratio:.2f}"
    for error, count in record.errors.items():
        yield f"error, {count} times: {error}"


def write_report(folder: Path, record: LoadRecord) -> list[Path]:
    """Write load.json and load.png into a folder, each aside and then renamed; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = dict_from_dataclass(record)
    write_text(folder / "load.json", json.dumps(plain, indent=2, allow_nan=False) + "\n")
    with written_aside(folder / "load.png") as aside:
        _draw(record, aside)
    return [folder / "load.json", folder / "load.png"]


def _draw(record: LoadRecord, path: Path) -> None:
    """Every answer's latency over the time that its request began, with the percentiles as lines."""
    require("matplotlib")
    from matplotlib.figure import Figure

    answered = [outcome for outcome in record.outcomes if outcome.error is None]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.scatter([o.began_s for o in answered], [o.latency_ms for o in answered], s=8, color="tab:blue")
    for failed in (outcome for outcome in record.outcomes if outcome.error is not None):
        axes.axvline(failed.began_s, color="tab:red", linewidth=0.5)
    for percentile, value in record.latency_ms.items():
        axes.axhline(value, color="gray", linewidth=0.8)
        axes.annotate(percentile, (1, value), xycoords=("axes fraction", "data"), fontsize=8)
    axes.set_xlabel("seconds since the load began")
    axes.set_ylabel("latency in ms")
    axes.set_ylim(bottom=0)
    title = f"{record.images_per_s:.2f} images/s, {len(answered)} of {len(record.outcomes)} answered"
    axes.set_title(title, loc="left")
    figure.savefig(path, format="png", dpi=120)
