"""The command `lorair restore`."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lorair.inference import FileRecord


def restore(
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders, or quoted patterns.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder, or file of one.")] = None,
    model: Annotated[str, typer.Option(help="Checkpoint, bundle folder or server address.")] = "default",
    degradation: Annotated[str | None, typer.Option(help="Its name, if you know it.")] = None,
    tile: Annotated[int | None, typer.Option(min=1, help="Pixels; by default whole images.")] = None,
    tile_overlap: Annotated[int, typer.Option(min=0, help="Pixels over which tiles blend.")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    suffix: Annotated[str | None, typer.Option(help="Added to the names of the outputs.")] = None,
    ext: Annotated[str, typer.Option(help="Format of the outputs: auto, png, jpg, webp or tif.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo outputs that exist.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search subfolders too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per file.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")] = False,
) -> None:
    """Restore images; the model sees by itself what degraded each of them.

    Without --output, NAME_restored appears beside each input. Bit depth, alpha, EXIF and ICC are kept.
    Existing outputs are skipped, so an interrupted run is finished by repeating it.

    Exit codes: 0 all restored or skipped, 1 some files failed, 2 wrong usage, 3 the machine lacks something.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from lorair.inference import open_runtime, plan_jobs, restore_files

    jobs = plan_jobs(inputs, output, recursive, suffix, ext)
    runtime = open_runtime(model, device)
    console = Console(stderr=True)
    show = _printer(console, json, quiet)
    hidden = quiet or json or not console.is_terminal
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden, transient=True) as progress:
        bar = progress.add_task("", total=len(jobs))

        def done(record: "FileRecord") -> None:
            progress.advance(bar)
            show(record)

        records = restore_files(runtime, jobs, degradation, tile, tile_overlap, overwrite, on_record=done)
    counts = Counter(record.status for record in records)
    if not quiet and not json:
        _say(console, _summary(counts))
    if counts["failed"]:
        raise typer.Exit(1)


def _printer(console: "Console", json: bool, quiet: bool) -> "Callable[[FileRecord], None]":
    def show(record: "FileRecord") -> None:
        if json:
            print(record.to_json(), flush=True)
        elif record.status == "failed" or not quiet:
            _say(console, _line(record))

    return show


def _line(record: "FileRecord") -> str:
    if record.status != "restored":
        return f"{record.source}: {record.status}, {record.reason}"
    gates = sorted(record.gates.items(), key=lambda gate: -gate[1])
    seen = ", ".join(f"{name} {share:.2f}" for name, share in gates if share >= 0.01)
    lines = [f"{record.source} -> {record.target}: {seen} ({record.seconds:.1f} s)", *record.notes]
    return "\n  ".join(lines)


def _summary(counts: "Counter[str]") -> str:
    skipped = f", {counts['skipped']} skipped (--overwrite redoes them)" if counts["skipped"] else ""
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    return f"{counts['restored']} restored{skipped}{failed}"


def _say(console: "Console", text: str) -> None:
    # A file's name may look like markup, and a long line must stay one line for grep.
    console.print(text, markup=False, highlight=False, soft_wrap=True)
