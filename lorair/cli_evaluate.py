"""The command `lorair evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lorair.evaluation import FolderPairs, PhotographPairs
    from lorair.runtime import Runtime


def evaluate(
    model: Annotated[str, typer.Option(help="Checkpoint, bundle folder or server address.")] = "default",
    pairs: Annotated[Path | None, typer.Option(help="Folder of TASK/input and TASK/target.")] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of clean photographs, which are degraded here.")] = None,
    protocol: Annotated[str | None, typer.Option(help="How PSNR and SSIM are computed.")] = None,
    degradation: Annotated[str | None, typer.Option(help="Its name, or oracle for each image's own.")] = None,
    tile: Annotated[int | None, typer.Option(min=1, help="Pixels; by default whole images.")] = None,
    tile_overlap: Annotated[int, typer.Option(min=0, help="Pixels over which tiles blend.")] = 32,
    lpips: Annotated[Path | None, typer.Option(help="Folder of the weights of LPIPS, to measure it too.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the report.")] = None,
) -> None:
    """Measure a model on pairs of degraded and clean images, or on photographs degraded for the purpose.

    With --output, evaluation.json, images.csv and sheet.png (the best and the worst of each task) are written.
    docs/evaluation.md explains the protocols.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from lorair.evaluation import evaluate as evaluated_pairs
    from lorair.evaluation.report import confusion_table, record_of, task_table, write_report
    from lorair.evaluation.sheet import Sheet
    from lorair.evaluation.summary import confusion, summarize
    from lorair.metrics import PROTOCOLS, protocol_named
    from lorair.metrics.lpips import Lpips
    from lorair.runtime import open_runtime

    if protocol is not None:
        protocol_named(protocol)
    distance = None if lpips is None else Lpips.open(lpips)
    runtime = open_runtime(model, device)
    source = _source(runtime, pairs, photos)
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
    if counts := confusion(scores):
        console.print("")
        console.print(confusion_table(counts, runtime.degradations))
    if output is None:
        return
    settings = {"model": model, "runtime": runtime.name, "device": device, "tile": tile, "tile_overlap": tile_overlap}
    settings |= {"pairs": pairs, "photos": photos, "degradation": degradation, "lpips": lpips}
    for path in write_report(output, record_of(scores, settings), scores, sheet):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _source(runtime: "Runtime", pairs: Path | None, photos: Path | None) -> "FolderPairs | PhotographPairs":
    from lorair.evaluation import FolderPairs, PhotographPairs

    if (pairs is None) == (photos is None):
        raise ValueError("give one of --pairs and --photos")
    if photos is not None:
        return PhotographPairs(photos, runtime.degradations)
    assert pairs is not None
    return FolderPairs(pairs, runtime.degradations)
