"""The command `lorair-bench latency`."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lorair_export.cli.sizes import parsed_size

if TYPE_CHECKING:
    from lorair.inference import Runtime
    from lorair_export.bench import Batch, Case, Plan, Row

WIDTH: Final = 120  # in a narrower terminal lines break, where a table would leave figures out

SizeOption = Annotated[
    list[str] | None, typer.Option(help="Height x width, as 256x384; or with the batch, as 4x256x256; repeatable.")
]
ItersOption = Annotated[int, typer.Option(min=1, help="Timed calls of each model, at least.")]
WarmupOption = Annotated[int, typer.Option(min=0, help="Calls of each model before those.")]
DurationOption = Annotated[float, typer.Option(min=0, help="Seconds of timed rounds, at least.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
CompareOption = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="An earlier latency.json to show beside this run.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder for latency.json, latency.html and latency.png.")
]


class PartChoice(StrEnum):
    """What is timed."""

    all = "all"
    router = "router"
    restorer = "restorer"


def latency(
    model: Annotated[
        list[str],
        typer.Option(help="Checkpoint, published:CHECKPOINT, compile:CHECKPOINT, bundle, server; repeatable."),
    ],
    size: SizeOption = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Images per call; repeatable.")] = None,
    part: Annotated[PartChoice, typer.Option(help="Time router and restorer, or one alone.")] = PartChoice.all,
    iters: ItersOption = 30,
    warmup: WarmupOption = 3,
    duration: DurationOption = 0.0,
    device: DeviceOption = "auto",
    compare: CompareOption = None,
    output: OutputOption = None,
) -> None:
    """Time models side by side on the example photographs, one call each in turn.

    The first checkpoint is the reference: a model that restores anything else has no figure but a reason, and
    the command ends with 6. Load, first call and peak memory are those of a fresh process. With --part restorer
    gates and priors are given, and every image of a batch has another expert in turn.
    """
    from lorair.inference import open_runtime
    from lorair_export.bench import Part, Plan, Rounds, prepare_report

    cases = cases_of(size or ["256x256"], batch or [1])
    if output is not None:
        prepare_report(output)
    runtimes = {target: open_runtime(target, device) for target in model}
    targets = {target: target for target in model}
    plan = Plan(cases, Rounds(warmup, iters, duration), Part(part), device)
    run(runtimes, targets, plan, compare, output)


def run(
    runtimes: "Mapping[str, Runtime]",
    targets: Mapping[str, str],
    plan: "Plan",
    compare: Path | None,
    output: Path | None,
) -> None:
    """Measure opened runtimes, print and write; ``targets`` is what a fresh process opens, by the same names."""
    from rich.console import Console
    from rich.markup import escape

    from lorair.system import machine_facts
    from lorair_export.bench import (
        columns_of,
        compared,
        differences,
        read_record,
        record_of,
        reference_of,
        table_of,
        write_report,
    )
    from lorair_export.errors import ParityError

    earlier = None if compare is None else read_record(compare)
    reference = reference_of(runtimes)
    console = Console(width=max(WIDTH, Console().width))
    rows: list[Row] = []
    for case in plan.cases:
        print(f"measuring {case}", file=sys.stderr)
        rows += _rows(runtimes, targets, case, plan)
    console.print(table_of(columns_of(rows)))
    record = record_of(rows, reference, plan, machine_facts())
    comparison = None
    if earlier is not None:
        comparison = compared(earlier, record)
        console.print(f"\nbeside {escape(str(compare))}, taken {earlier['taken']}:", table_of(comparison), sep="\n")
        for line in differences(earlier, record):
            print(f"warning: not the same, {line}", file=sys.stderr)
    if output is not None:
        console.print("written:", *write_report(output, record, rows, comparison))
    refused = [f"{row.model} at {row.case}: {row.refused}" for row in rows if row.refused is not None]
    if refused:
        raise ParityError("no figure for " + "; ".join(refused))


def _rows(runtimes: "Mapping[str, Runtime]", targets: Mapping[str, str], case: "Case", plan: "Plan") -> "list[Row]":
    """A case by every model. One that the reference has no memory for has reasons alone, and those before stand."""
    from lorair.images import is_out_of_memory
    from lorair_export.bench import Row, case_batches, failure, measure, reference_of

    try:
        batches = case_batches(case, plan.part, runtimes[reference_of(runtimes)])
        rows = measure(runtimes, batches, plan.rounds, plan.part)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return [Row(name, runtime.name, case, plan.part, refused=failure(error)) for name, runtime in runtimes.items()]
    return [row if row.refused is not None else _with_start(row, targets[row.model], batches[0], plan) for row in rows]


def _with_start(row: "Row", target: str, batch: "Batch", plan: "Plan") -> "Row":
    """The row with the figures of a fresh process, or none but the reason why that failed."""
    from lorair_export.bench import Row, cold_start, failure

    try:
        return replace(row, **asdict(cold_start(target, plan.device, batch, plan.part)))
    except Exception as error:  # what a fresh process raises, a library's errors too
        return Row(row.model, row.runtime, row.case, row.part, row.precision, refused=failure(error))


def cases_of(sizes: Sequence[str], batches: Sequence[int]) -> "list[Case]":
    """A size is run at every batch, unless it has one of its own in front: ``4x256x384``."""
    from lorair_export.bench import Case

    cases: list[Case] = []
    for text in sizes:
        own, _, rest = text.partition("x")
        if rest.count("x") != 1 or not own.isdecimal() or int(own) < 1:
            cases += [Case(*parsed_size(text), count) for count in batches]
        else:
            cases.append(Case(*parsed_size(rest), int(own)))
    return cases
