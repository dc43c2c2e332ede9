"""The commands `lorair data check` and `lorair data speed`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorair.cli.console import command_group, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from lorair.data import DataReport, SourceReport

EXAMPLES = 3

SettingName = Annotated[str, typer.Argument(help="Published setting, a .toml file, or pairs.")]
Root = Annotated[Path, typer.Option(help="Folder that holds the setting's data.")]

data = command_group("Check the images of a setting, or time their reading.")


@data.command()
def check(
    setting: SettingName,
    root: Root,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every image, not only its header.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept counts that differ from the published ones.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the full report as JSON.")] = False,
) -> None:
    """List the data of a setting: what is present, missing or wrong.

    Exit codes: 0 complete, 1 something is missing or wrong, 2 wrong usage.
    """
    from rich.console import Console
    from rich.progress import Progress

    from lorair.data import DataCheck, check_data
    from lorair.settings import load_setting

    wanted = load_setting(setting, root)
    stderr = Console(stderr=True)
    with Progress(console=stderr, disable=not stderr.is_terminal, transient=True) as progress:
        bar = progress.add_task("images")
        report = check_data(wanted, root, deep, lambda done, total: progress.update(bar, completed=done, total=total))
    complete = report.complete(partial)
    if json:
        print_json(DataCheck(setting, str(root), complete, report.sources, report.unused_clean))
    else:
        print("\n".join(filter(None, (wanted.title, wanted.note))))
        _show(report, Console())
        print("complete" if complete else "not complete")
    if not complete:
        raise typer.Exit(1)


@data.command()
def speed(
    setting: SettingName,
    root: Root,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 16,
    crop: Annotated[int, typer.Option(min=1, help="Side of the crops in pixels.")] = 256,
    batches: Annotated[int, typer.Option(min=1, help="Batches to time, after one warm-up batch per worker.")] = 20,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.")] = 1,
) -> None:
    """Time the reading of training batches, without training, in images per second."""
    from lorair.data import reading_speed
    from lorair.settings import load_setting

    rate = reading_speed(load_setting(setting, root), root, batch_size, crop, batches, workers)
    print(f"{rate:.1f} images/s, {workers} workers, crops of {crop} pixels")


def _show(report: "DataReport", console: "Console") -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("source", "split", "expert", "pairs", "published", "known", "state", box=None, pad_edge=False)
    for source in report.sources:
        published = "?" if source.expected.pairs is None else str(source.expected.pairs)
        who = (source.name, source.split, source.expert)
        table.add_row(*map(escape, who), str(source.pairs), published, source.expected.evidence, _state(source))
    console.print(table)
    for line in _faults(report):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _faults(report: "DataReport") -> Iterator[str]:
    for source in report.sources:
        yield from (f"{source.name} ({source.split}): {line}" for line in _problems(source))
    if report.unused_clean:
        yield _sample("clean images without a degraded one", report.unused_clean)


def _state(source: "SourceReport") -> str:
    if not source.pairs:
        return "missing"
    if not source.usable:
        return "wrong"
    return "ok" if source.as_published else "other count"


def _problems(source: "SourceReport") -> list[str]:
    kinds = {
        "degraded images without a clean one": source.without_clean,
        "listed images that are missing": source.unlisted,
        "pairs whose images differ in size": source.sizes_differ,
        "images that cannot be read": tuple(f"{path} ({reason})" for path, reason in source.unreadable),
    }
    lines = [_sample(what, which) for what, which in kinds.items() if which]
    if source.pairs:
        return lines
    doubt = "" if source.paths == "verified" else f" (folders {source.paths}; compare them with your archive's)"
    return [f"no pairs; looked for {source.looked_in}{doubt}", *lines]


def _sample(what: str, which: tuple[str, ...]) -> str:
    more = ", ..." if len(which) > EXAMPLES else ""
    return f"{len(which)} {what}: {', '.join(which[:EXAMPLES])}{more}"
