"""An evaluation as files: all figures, one line per image, and a picture."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from lorair.evaluation.evaluate import Evaluation
from lorair.evaluation.metrics import PROTOCOLS, Protocol
from lorair.evaluation.scoring import Score
from lorair.evaluation.summary import TaskSummary, average, confusion
from lorair.images import write_image
from lorair.plain_data import dict_from_dataclass
from lorair.settings import Published
from lorair.system import write_text

FORMAT: Final = "lorair-evaluation"
FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class TaskFigures:
    """Means over a task's images.

    Attributes:
        task: the test set.
        protocol: of PSNR and SSIM; several are joined by commas.
        images: how many.
        lpips: of the restored images; null where it was not measured.
        accuracy: share of images routed to the expert of their degradation; null where that is unknown.
        input_psnr: of the degraded images in dB; null where an image equals its clean one.
        input_ssim: of the degraded images.
        psnr: of the restored images in dB; null where an image equals its clean one.
        ssim: of the restored images.
    """

    task: str
    protocol: str
    images: int
    lpips: float | None
    accuracy: float | None
    input_psnr: float | None
    input_ssim: float
    psnr: float | None
    ssim: float


@dataclass(frozen=True)
class EvaluationReport:
    """The result of an evaluation, and how it was measured.

    Attributes:
        format: always `lorair-evaluation`.
        format_version: of this record.
        taken: when, in UTC.
        lorair: its version.
        settings: the options of the call.
        protocols: the steps of each protocol that was used, by name.
        tasks: means over the images of each test set.
        average: means over the tasks.
        confusion: images by their own degradation, then by the one that the router predicted.
        published: published figures on these test sets.
    """

    format: str
    format_version: int
    taken: str
    lorair: str
    settings: Mapping[str, str | int | None]
    protocols: Mapping[str, Protocol]
    tasks: tuple[TaskFigures, ...]
    average: TaskFigures
    confusion: Mapping[str, Mapping[str, int]]
    published: tuple[Published, ...]


def report_of(evaluation: Evaluation, settings: Mapping[str, str | int | None]) -> EvaluationReport:
    """Everything about an evaluation; `settings` records what was evaluated and how."""
    used = dict.fromkeys(score.protocol for score in evaluation.scores)
    return EvaluationReport(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        lorair=version("lorair"),
        settings=settings,
        protocols={name: PROTOCOLS[name] for name in used},
        tasks=tuple(map(_figures, evaluation.summaries)),
        average=_figures(average(evaluation.summaries)),
        confusion=confusion(evaluation.scores),
        published=evaluation.published,
    )


def write_report(folder: Path, report: EvaluationReport, evaluation: Evaluation) -> list[Path]:
    """Write evaluation.json, images.csv (one line per image) and sheet.png into a folder; the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("evaluation.json", "images.csv", "sheet.png")]
    write_text(paths[0], json.dumps(dict_from_dataclass(report), indent=2, allow_nan=False) + "\n")
    write_text(paths[1], csv_of(evaluation.scores))
    write_image(paths[2], evaluation.sheet.draw())
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
        row: list[object] = [score.name, score.task, score.protocol, score.height, score.width, *score.before]
        row += [*score.after, score.lpips, score.expert, score.seen, *(score.gates[name] for name in degradations)]
        writer.writerow([*row, round(score.seconds, 4), "; ".join(score.notes)])
    return text.getvalue()


def _figures(summary: TaskSummary) -> TaskFigures:
    return TaskFigures(
        task=summary.task,
        protocol=summary.protocol,
        images=summary.images,
        lpips=summary.lpips,
        accuracy=summary.accuracy,
        input_psnr=_finite(summary.before.psnr),
        input_ssim=summary.before.ssim,
        psnr=_finite(summary.after.psnr),
        ssim=summary.after.ssim,
    )


def _finite(psnr: float) -> float | None:
    """JSON has no infinity, the PSNR of equal images."""
    return psnr if math.isfinite(psnr) else None
