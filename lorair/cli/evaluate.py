"""The command `lorair evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lorair.data import BenchmarkPairs
    from lorair.evaluation import FolderPairs, PhotographPairs
    from lorair.inference import Runtime
    from lorair.settings import Published


def evaluate(
    model: Annotated[str, typer.Option(help="Checkpoint, bundle folder or server address.")] = "default",
    setting: Annotated[str | None, typer.Option(help="A published setting, a .toml of one's own, or pairs.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder that holds the setting's data.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Pairs of each of the setting's test sets.")] = None,
    pairs: Annotated[Path | None, typer.Option(help="Folder of TASK/input and TASK/target.")] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of clean photographs, which are degraded here.")] = None,
    protocol: Annotated[str | None, typer.Option(help="How PSNR and SSIM are computed, if not as published.")] = None,
    degradation: Annotated[str | None, typer.Option(help="Its name, or oracle for each image's own.")] = None,
    tile: Annotated[int | None, typer.Option(min=1, help="Pixels; by default whole images.")] = None,
    tile_overlap: Annotated[int, typer.Option(min=0, help="Pixels over which tiles blend.")] = 32,
    lpips: Annotated[Path | None, typer.Option(help="Folder of the weights of LPIPS, to measure it too.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the report.")] = None,
) -> None:
    """Measure a model on a setting's test sets, on pairs of files, or on photographs degraded for the purpose.

    With --output, evaluation.json, images.csv and sheet.png (the best and the worst of each task) are written.
    docs/evaluation.md explains the protocols.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from lorair.evaluation import (
        PROTOCOLS,
        Lpips,
        Sheet,
        confusion,
        confusion_table,
        protocol_named,
        published_table,
        record_of,
        summarize,
        task_table,
        write_report,
    )
    from lorair.evaluation import evaluate as evaluated_pairs
    from lorair.inference import open_runtime

    if protocol is not None:
        protocol_named(protocol)
    distance = None if lpips is None else Lpips.open(lpips)
    runtime = open_runtime(model, device)
    source, published = _source(runtime, setting, root, limit, pairs, photos)
    console, sheet, scores = Console(), Sheet(), []
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        results = evaluated_pairs(runtime, source, protocol, degradation, tile, tile_overlap, distance)
        for evaluated in progress.track(results, total=len(source)):
            scores.append(evaluated.score)
            sheet.add(evaluated)
    for name in dict.fromkeys(score.protocol for score in scores):
        console.print(f"{name}: {PROTOCOLS[name].summary}", highlight=False, soft_wrap=True)
    console.print("")
    console.print(task_table(summarize(scores)))
    if published and protocol is None:
        console.print("")
        console.print(published_table(summarize(scores), published))
    if counts := confusion(scores):
        console.print("")
        console.print(confusion_table(counts, runtime.degradations))
    if output is None:
        return
    settings = {"model": model, "runtime": runtime.name, "device": device, "tile": tile, "tile_overlap": tile_overlap}
    settings |= {"setting": setting, "root": root, "limit": limit, "pairs": pairs, "photos": photos}
    settings |= {"degradation": degradation, "lpips": lpips}
    for path in write_report(output, record_of(scores, settings, published), scores, sheet):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _source(
    runtime: "Runtime",
    setting: str | None,
    root: Path | None,
    limit: int | None,
    pairs: Path | None,
    photos: Path | None,
) -> tuple["BenchmarkPairs | FolderPairs | PhotographPairs", "Sequence[Published]"]:
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
            raise ValueError("give one of --setting with --root (and --limit, if you like), --pairs and --photos")
