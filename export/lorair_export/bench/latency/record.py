"""The record of a latency run: latency.json, and the output of `--json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lorair.plain_data import dataclass_from_dict
from lorair_export.bench.latency.cases import Part, Plan
from lorair_export.bench.latency.rows import Row

FORMAT: Final = "lorair-latency"
FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class Settings:
    """How a run was measured.

    Attributes:
        part: what was timed.
        experts: which of them were used.
        warmup: calls of each model before the timed ones.
        iters: timed calls of each model, at least.
        duration_s: seconds of timed calls, at least.
        device: as requested.
        order: of the calls.
        images: those that were restored.
        host_copies: whether copies between host and device are in the times.
        about: facts about the models that their names do not contain.
    """

    part: Part
    experts: str
    warmup: int
    iters: int
    duration_s: float
    device: str
    order: str
    images: str
    host_copies: str
    about: Mapping[str, str]


@dataclass(frozen=True)
class LatencyRecord:
    """A latency run.

    Attributes:
        format: always `lorair-latency`.
        format_version: of this record.
        taken: date and time in UTC, ISO 8601.
        reference: the model that the others were compared with.
        settings: how it was measured.
        machine: the machine it was measured on.
        rows: one for each model in each case.
    """

    format: str
    format_version: int
    taken: str
    reference: str
    settings: Settings
    machine: Mapping[str, object]
    rows: tuple[Row, ...]


def record_of(rows: Sequence[Row], reference: str, plan: Plan, machine: Mapping[str, object]) -> LatencyRecord:
    """The record of measured rows, taken now; `reference` is the model that the others were compared with."""
    mixed = plan.part is Part.RESTORER
    settings = Settings(
        part=plan.part,
        experts="mixed, another for each image" if mixed else "by the router",
        warmup=plan.rounds.warmup,
        iters=plan.rounds.iters,
        duration_s=plan.rounds.duration_s,
        device=plan.device,
        order="interleaved",
        images="example photographs",
        host_copies="included",
        about=plan.about,
    )
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    return LatencyRecord(FORMAT, FORMAT_VERSION, taken, reference, settings, machine, tuple(rows))


def read_record(path: Path) -> LatencyRecord:
    """The record in a latency.json; ValueError where the file is something else, or of another format version."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        kind, version = plain["format"], plain["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a latency.json ({error}); lorair-bench latency -o FOLDER writes one") from error
    if (kind, version) != (FORMAT, FORMAT_VERSION):
        raise ValueError(
            f"{path}: {kind} of version {version}, and this lorair reads {FORMAT} of version {FORMAT_VERSION}; "
            "measure again"
        )
    return dataclass_from_dict(LatencyRecord, plain, str(path))
