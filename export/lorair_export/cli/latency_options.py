"""What the latency commands share: their options, the sizes they take, and how a run is printed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lorair.cli import print_json
from lorair_export.cli.sizes import parsed_size

if TYPE_CHECKING:
    from lorair_export.bench import Case, LatencyRun

WIDTH: Final = 120  # in a narrower terminal lines break, where a table would leave figures out
PARTS_NOTE: Final = "router and restorer are timed in separate calls, so their sum may differ from p50"
TIMING, REPORT = "Timing", "Report"

SizeOption = Annotated[
    list[str] | None, typer.Option(help="Height x width, as 256x384; or with the batch, as 4x256x256; repeatable.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ItersOption = Annotated[
    int, typer.Option(min=1, help="Minimum number of timed calls per model.", rich_help_panel=TIMING)
]
WarmupOption = Annotated[int, typer.Option(min=0, help="Warm-up calls per model.", rich_help_panel=TIMING)]
DurationOption = Annotated[float, typer.Option(min=0, help="Minimum seconds of timed calls.", rich_help_panel=TIMING)]
CompareOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Earlier latency.json to compare with.", rich_help_panel=REPORT),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Folder for latency.json, latency.html and latency.png.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=REPORT)]


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


def print_step(step: str) -> None:
    print(step, file=sys.stderr)


def print_run(run: "LatencyRun", compare: Path | None, json: bool) -> None:
    """Print a run as tables, or its record as JSON. ParityError names the models that have no figure."""
    from rich.console import Console
    from rich.markup import escape

    from lorair_export.bench import columns_of, table_of
    from lorair_export.errors import ParityError

    for line in run.differences:
        print(f"warning: not the same, {line}", file=sys.stderr)
    if json:
        print_json(run.record)
    else:
        console = Console(width=max(WIDTH, Console().width))
        columns = columns_of(run.record.rows)
        console.print(table_of(columns))
        if "router" in columns:
            console.print(PARTS_NOTE)
        if run.comparison is not None:
            console.print(f"\ncompared with {escape(str(compare))}:", table_of(run.comparison), sep="\n")
        if run.written:
            console.print("written:", *run.written)
    missing = [f"{row.model} at {row.case}: {row.reason}" for row in run.record.rows if row.reason is not None]
    if missing:
        raise ParityError("no figure for " + "; ".join(missing))
