"""The command `lorair evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorair.cli.console import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from lorair.evaluation import Evaluation, PairSource
    from lorair.inference import Runtime
    from lorair.settings import Published

MEASURE, TILES, REPORT = "Measurement", "Large images", "Report"

Model = Annotated[str, typer.Option(help="Checkpoint, bundle folder or server address.")]
SettingName = Annotated[str | None, typer.Option(help="Published setting, a .toml file, or pairs.")]
Root = Annotated[Path | None, typer.Option(help="Folder that holds the setting's data.")]
Pairs = Annotated[Path | None, typer.Option(help="Folder of TASK/input and TASK/target.")]
Photos = Annotated[Path | None, typer.Option(help="Folder of clean photographs to degrade.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the report.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Pairs per test set of the setting; default: all.", rich_help_panel=MEASURE)
]
ProtocolName = Annotated[
    str | None, typer.Option(help="How PSNR and SSIM are computed; default: as published.", rich_help_panel=MEASURE)
]
Degradation = Annotated[
    str | None,
    typer.Option(
        help="Degradation to assume; skips the router. oracle: each image's true one.", rich_help_panel=MEASURE
    ),
]
LpipsFolder = Annotated[
    Path | None, typer.Option(help="Folder with the LPIPS weights; also measures LPIPS.", rich_help_panel=MEASURE)
]
Tile = Annotated[
    int | None, typer.Option(min=1, help="Tile side in pixels; by default whole images.", rich_help_panel=TILES)
]
TileOverlap = Annotated[int, typer.Option(min=0, help="Pixels over which tiles blend.", rich_help_panel=TILES)]
Json = Annotated[bool, typer.Option("--json", help="Print all figures as JSON.", rich_help_panel=REPORT)]


def evaluate(
    model: Model = "default",
    setting: SettingName = None,
    root: Root = None,
    pairs: Pairs = None,
    photos: Photos = None,
    output: Output = None,
    device: Device = "auto",
    limit: Limit = None,
    protocol: ProtocolName = None,
    degradation: Degradation = None,
    lpips: LpipsFolder = None,
    tile: Tile = None,
    tile_overlap: TileOverlap = 32,
    json: Json = False,
) -> None:
    """Measure a model on a setting's test sets, on pairs of files, or on degraded photographs.

    With --output, evaluation.json, images.csv and sheet.png (best and worst of each task) are written.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from lorair.evaluation import Lpips, protocol_named, report_of, write_report
    from lorair.evaluation import evaluate as evaluate_pairs
    from lorair.inference import open_runtime

    if protocol is not None:
        protocol_named(protocol)
    distance = None if lpips is None else Lpips.open(lpips)
    runtime = open_runtime(model, device)
    source, published = _source(runtime, setting, root, limit, pairs, photos)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("pairs", total=len(source))
        evaluation = evaluate_pairs(
            runtime, source, protocol=protocol, degradation=degradation, tile=tile, overlap=tile_overlap,
            lpips=distance, published=published, on_pair=lambda done, total: progress.update(bar, completed=done),
        )  # fmt: skip
    settings = {"model": model, "runtime": runtime.name, "device": device, "tile": tile, "tile_overlap": tile_overlap}
    places = {"root": root, "pairs": pairs, "photos": photos, "lpips": lpips}
    settings |= {name: path and str(path) for name, path in places.items()}
    report = report_of(evaluation, settings | {"setting": setting, "limit": limit, "degradation": degradation})
    if json:
        print_json(report)
    else:
        Console().print(*_shown(evaluation), sep="\n", highlight=False, soft_wrap=True)
    for path in write_report(output, report, evaluation) if output is not None else ():
        Console(stderr=json).print(f"wrote {path}", highlight=False, soft_wrap=True)


def _shown(evaluation: "Evaluation") -> "list[RenderableType]":
    from lorair.evaluation import PROTOCOLS, confusion, confusion_table, published_table, task_table

    summaries = evaluation.summaries
    names = dict.fromkeys(score.protocol for score in evaluation.scores)
    shown: list[RenderableType] = [f"{name}: {PROTOCOLS[name].summary}" for name in names]
    shown += ["", task_table(summaries)]
    if evaluation.published:
        shown += ["", published_table(summaries, evaluation.published)]
    if counts := confusion(evaluation.scores):
        shown += ["", confusion_table(counts, evaluation.degradations)]
    return shown


def _source(
    runtime: "Runtime",
    setting: str | None,
    root: Path | None,
    limit: int | None,
    pairs: Path | None,
    photos: Path | None,
) -> "tuple[PairSource, Sequence[Published]]":
    """The pairs that are asked for, and the figures published on them."""
    from lorair.data import BenchmarkPairs
    from lorair.evaluation import FolderPairs, PhotographPairs
    from lorair.settings import load_setting

    match setting, root, limit, pairs, photos:
        case str(), Path(), _, None, None:
            chosen = load_setting(setting, root)
            return BenchmarkPairs(chosen, root, limit), chosen.published
        case None, None, None, Path(), None:
            return FolderPairs(pairs, runtime.degradations), ()
        case None, None, None, None, Path():
            return PhotographPairs(photos, runtime.degradations), ()
        case _:
            raise ValueError("give exactly one of --setting (with --root), --pairs and --photos")
