"""A whole latency run: models opened, every case measured, the report written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lorair.images import is_out_of_memory
from lorair.inference import Runtime, open_runtime
from lorair.system import machine_facts
from lorair_export.bench.latency.cases import Batch, Case, Plan, case_batches
from lorair_export.bench.latency.cold_start import cold_start
from lorair_export.bench.latency.columns import Columns
from lorair_export.bench.latency.compare import compared, differences
from lorair_export.bench.latency.measure import measure
from lorair_export.bench.latency.record import LatencyRecord, read_record, record_of
from lorair_export.bench.latency.report import prepare_report, write_report
from lorair_export.bench.latency.restorer_models import opened, prepared
from lorair_export.bench.latency.rows import Row, failure, reference_of

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class LatencyRun:
    """The result of a run: its record, the comparison with an earlier run, and the written files."""

    record: LatencyRecord
    comparison: Columns | None
    differences: tuple[str, ...]
    written: tuple[Path, ...]


def benchmark_models(
    models: Sequence[str],
    plan: Plan,
    report: Path | None = None,
    earlier: Path | None = None,
    on_step: OnStep = lambda step: None,
) -> LatencyRun:
    """Time models in turn on the example photographs.

    Args:
        models: checkpoints, bundles, servers, with a scheme where they have one, such as `openvino:bundle`. The first
            checkpoint is the reference: a model whose outputs differ gets a reason and no figure.
        plan: cases, rounds, the part to time, and the device.
        report: folder for latency.json, latency.html and latency.png.
        earlier: a latency.json to compare with.
        on_step: called with what begins.

    Raises:
        ValueError: no model is a checkpoint, or `earlier` is not a latency.json.
        OSError: the report cannot be written.
        RuntimeUnavailableError: a model's packages or device are missing.
    """
    if report is not None:
        prepare_report(report)
    runtimes = {target: open_runtime(target, plan.device) for target in models}
    return benchmark(runtimes, {target: target for target in models}, plan, report, earlier, on_step)


def benchmark_restorer(
    model: str,
    forms: Sequence[str],
    folder: Path,
    plan: Plan,
    local_window: str | None = None,
    report: Path | None = None,
    earlier: Path | None = None,
    on_step: OnStep = lambda step: None,
) -> LatencyRun:
    """Time a restorer without its router in every form that this machine runs.

    Args:
        model: a preset, for random weights, or a checkpoint.
        forms: names of `FORMS`.
        folder: where its checkpoint and graphs are made, or used again where they fit.
        plan: as for `benchmark_models`, with `part` the restorer.
        local_window: the window of its channel attention in pixels, `global`, or None for the model's own.
        report: as for `benchmark_models`.
        earlier: as for `benchmark_models`.
        on_step: as for `benchmark_models`.

    Raises:
        ValueError: a form or window is unknown.
    """
    if report is not None:
        prepare_report(report)
    targets = prepared(model, folder, plan.cases, local_window, forms, on_step)
    runtimes = opened(targets, plan.device, on_step)
    return benchmark(runtimes, targets, plan, report, earlier, on_step)


def benchmark(
    runtimes: Mapping[str, Runtime],
    targets: Mapping[str, str],
    plan: Plan,
    report: Path | None,
    earlier: Path | None,
    on_step: OnStep,
) -> LatencyRun:
    """Measure opened runtimes; `targets` is what a fresh process opens, by the same names."""
    before = None if earlier is None else read_record(earlier)
    reference = reference_of(runtimes)
    rows: list[Row] = []
    for case in plan.cases:
        on_step(f"measuring {case}")
        rows += _rows(runtimes, targets, case, plan)
    record = record_of(rows, reference, plan, machine_facts())
    comparison = None if before is None else compared(before, record)
    unlike = () if before is None else tuple(differences(before, record))
    written = () if report is None else tuple(write_report(report, record, comparison))
    return LatencyRun(record, comparison, unlike, written)


def _rows(runtimes: Mapping[str, Runtime], targets: Mapping[str, str], case: Case, plan: Plan) -> list[Row]:
    """A case by every model. Where the reference runs out of memory, every row has a reason, and earlier cases are
    kept."""
    try:
        batches = case_batches(case, plan.part, runtimes[reference_of(runtimes)])
        rows = measure(runtimes, batches, plan.rounds, plan.part)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return [Row(name, runtime.name, case, plan.part, reason=failure(error)) for name, runtime in runtimes.items()]
    return [row if row.reason is not None else _with_start(row, targets[row.model], batches[0], plan) for row in rows]


def _with_start(row: Row, target: str, batch: Batch, plan: Plan) -> Row:
    """The row with the figures of a fresh process, or only the reason why that failed."""
    try:
        return replace(row, **asdict(cold_start(target, plan.device, batch, plan.part)))
    except Exception as error:  # what a fresh process raises, a library's errors too
        return Row(row.model, row.runtime, row.case, row.part, row.precision, reason=failure(error))
