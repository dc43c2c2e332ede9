"""The command `lorair-bench latency`."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lorair.runtime import Runtime
    from lorair_export.latency import Case, Rounds, Row


def latency(
    model: Annotated[list[str], typer.Option(help="Checkpoint, bundle folder or server's address; repeatable.")],
    size: Annotated[list[str] | None, typer.Option(help="Height x width, as 256x256; repeatable.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Images per call; repeatable.")] = None,
    iters: Annotated[int, typer.Option(min=1, help="Timed calls of each model, at least.")] = 30,
    warmup: Annotated[int, typer.Option(min=0, help="Calls of each model before those.")] = 3,
    duration: Annotated[float, typer.Option(min=0, help="Seconds of timed rounds, at least.")] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for latency.json and latency.png.")
    ] = None,
) -> None:
    """Time models side by side on the example photographs, one call each in turn.

    The first checkpoint is the reference: a model that restores anything else has no figure but a reason, and
    the command ends with 6. Load, first call and peak memory are those of a fresh process.
    """
    from rich.console import Console

    from lorair.machine import machine_facts
    from lorair.runtime import open_runtime
    from lorair_export.errors import ParityError
    from lorair_export.latency import Case, Rounds, reference_of
    from lorair_export.latency_report import record_of, table_of, write_report

    cases = [Case(*parsed_size(text), count) for text in size or ["256x256"] for count in batch or [1]]
    rounds = Rounds(warmup, iters, duration)
    runtimes = {target: open_runtime(target, device) for target in model}
    reference = reference_of(runtimes)
    console = Console()
    rows: list[Row] = []
    for case in cases:
        print(f"measuring {case}", file=sys.stderr)
        rows += _rows(runtimes, case, rounds, device)
    console.print(table_of(rows))
    if output is not None:
        record = record_of(rows, reference, rounds, device, machine_facts())
        console.print("written:", *write_report(output, record, rows))
    refused = [f"{row.model} at {row.case}: {row.refused}" for row in rows if row.refused is not None]
    if refused:
        raise ParityError("no figure for " + "; ".join(refused))


def _rows(runtimes: "dict[str, Runtime]", case: "Case", rounds: "Rounds", device: str) -> "list[Row]":
    from lorair_export.cold_start import cold_start
    from lorair_export.latency import case_batches, measure

    rows = measure(runtimes, case_batches(case), rounds)
    return [
        row if row.refused is not None else replace(row, **asdict(cold_start(row.model, device, case))) for row in rows
    ]


def parsed_size(text: str) -> tuple[int, int]:
    """``256x384`` -> (256, 384), height first; ``256`` is a square. ValueError where it is neither."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise ValueError(f"--size is height x width in pixels, as 256x384 or 256; got {text!r}")
    return int(sides[0]), int(sides[-1])
