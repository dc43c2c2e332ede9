"""The command `lorair train`."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class StageChoice(StrEnum):
    """A stage of training, or all three in order."""

    router = "router"
    pretrain = "pretrain"
    finetune = "finetune"
    all = "all"


def train(
    stage: Annotated[StageChoice, typer.Argument(help="The stage to train, or all three in order.")],
    photos: Annotated[Path, typer.Argument(help="Folder of clean photographs.", exists=True, file_okay=False)],
    val: Annotated[Path, typer.Option(help="Folder of clean photographs to validate on.", exists=True)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run, as in runs/NAME.")],
    preset: Annotated[str, typer.Option(help="The model: tiny or lorair-64.")] = "tiny",
    recipe: Annotated[str | None, typer.Option(help="tiny or published; by default the preset's own.")] = None,
    degradations: Annotated[str | None, typer.Option(help="Names separated by commas, one expert each.")] = None,
    start: Annotated[Path | None, typer.Option(help="Checkpoint of the same model to start from.")] = None,
    router_steps: Annotated[int | None, typer.Option(min=1, help="Steps of the router stage.")] = None,
    pretrain_steps: Annotated[int | None, typer.Option(min=1, help="Steps of the pre-training stage.")] = None,
    finetune_steps: Annotated[int | None, typer.Option(min=1, help="Steps of the fine-tuning stage.")] = None,
    train_all: Annotated[bool, typer.Option(help="Fine-tune the whole restorer, not its experts alone.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the weights, crops and degradations.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default all cores.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.")] = 1,
) -> None:
    """Train a model on degradations made from clean photographs.

    An interrupted run goes on where it was last saved when the same command is given again. The best weights
    are in OUTPUT/best.pt.
    """
    import torch
    from rich.console import Console

    from lorair.checkpoint import read_checkpoint
    from lorair.config import PRESETS
    from lorair.data import PhotographFolder
    from lorair.device import resolve_device
    from lorair.training import ORDER, RECIPES, StageName, StageRecipe, TrainingRun

    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    recipe = recipe or ("tiny" if preset == "tiny" else "published")
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    if threads is not None:
        torch.set_num_threads(threads)
    config = PRESETS[preset]
    if degradations is not None:
        config = replace(config, degradations=tuple(degradations.split(",")))
    steps = {"router": router_steps, "pretrain": pretrain_steps, "finetune": finetune_steps}
    stages: dict[StageName, StageRecipe] = {
        name: replace(stage, steps=steps[name] or stage.steps) for name, stage in RECIPES[recipe].items()
    }
    if train_all:
        stages["finetune"] = replace(stages["finetune"], trained="all")
    run = TrainingRun(
        folder=output,
        config=config,
        recipe=stages,
        photographs=PhotographFolder(photos),
        validation=PhotographFolder(val),
        seed=seed,
        device=str(resolve_device(device)),
        workers=workers,
        start=None if start is None else read_checkpoint(start),
    )
    console = Console()
    best = run.train(ORDER if stage is StageChoice.all else (stage.value,), console)
    console.print(f"wrote {best}")
