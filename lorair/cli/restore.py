"""The command `lorair restore`."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorair.cli.console import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from lorair.inference import FileRecord

TILES, OUTPUTS, REPORT = "Large images", "Output files", "Report"


def restore(
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders, or quoted patterns.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder, or file for a single image.")] = None,
    model: Annotated[str, typer.Option(help="Checkpoint, bundle folder or server address.")] = "default",
    degradation: Annotated[str | None, typer.Option(help="Degradation to assume; skips the router.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search subfolders too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Restore again where the output exists.")] = False,
    tile: Annotated[
        int | None, typer.Option(min=1, help="Tile side in pixels; by default whole images.", rich_help_panel=TILES)
    ] = None,
    tile_overlap: Annotated[
        int, typer.Option(min=0, help="Pixels over which tiles blend.", rich_help_panel=TILES)
    ] = 32,
    suffix: Annotated[
        str | None, typer.Option(help="Added to the names of the outputs.", rich_help_panel=OUTPUTS)
    ] = None,
    ext: Annotated[str, typer.Option(help="Format: auto, png, jpg, webp or tif.", rich_help_panel=OUTPUTS)] = "auto",
    json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON per file.", rich_help_panel=REPORT)
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.", rich_help_panel=REPORT)] = False,
) -> None:
    """Restore images; the router detects the degradation of each one.

    Without --output, `NAME_restored` is written next to each input. Bit depth, alpha, EXIF and ICC are kept.
    Existing outputs are skipped, so repeating an interrupted command completes it.

    Exit codes: 0 all restored or skipped, 1 some files failed, 2 wrong usage, 3 device or package missing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from lorair.inference import open_runtime, plan_jobs, restore_files

    jobs = plan_jobs(inputs, output, recursive, suffix, ext)
    runtime = open_runtime(model, device)
    console = Console(stderr=True)
    hidden = quiet or json or not console.is_terminal
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=hidden, transient=True) as progress:
        bar = progress.add_task("", total=len(jobs))

        def done(record: "FileRecord") -> None:
            progress.advance(bar)
            if json:
                print_json(record, indent=None)
            elif record.status == "failed" or not quiet:
                _say(console, _line(record))

        records = restore_files(runtime, jobs, degradation, tile, tile_overlap, overwrite, on_record=done)
    counts = Counter(record.status for record in records)
    if not quiet and not json:
        _say(console, _summary(counts))
    if counts["failed"]:
        raise typer.Exit(1)


def _line(record: "FileRecord") -> str:
    if record.status != "restored":
        return f"{record.source}: {record.status}, {record.reason}"
    gates = sorted(record.gates.items(), key=lambda gate: -gate[1])
    seen = ", ".join(f"{name} {share:.2f}" for name, share in gates if share >= 0.01)
    lines = [f"{record.source} -> {record.target}: {seen} ({record.seconds:.1f} s)", *record.notes]
    return "\n  ".join(lines)


def _summary(counts: "Counter[str]") -> str:
    skipped = f", {counts['skipped']} skipped (--overwrite restores them again)" if counts["skipped"] else ""
    failed = f", {counts['failed']} failed" if counts["failed"] else ""
    return f"{counts['restored']} restored{skipped}{failed}"


def _say(console: "Console", text: str) -> None:
    # A file's name may look like markup, and a long line must stay one line for grep.
    console.print(text, markup=False, highlight=False, soft_wrap=True)
