"""The command `lorair train`."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lorair.checkpoints import Checkpoint
    from lorair.model import ModelConfig
    from lorair.training import Recipe, TrainingData


class PrecisionChoice(StrEnum):
    """What a step computes in."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class StageChoice(StrEnum):
    """A stage of training, or all three in order."""

    router = "router"
    pretrain = "pretrain"
    finetune = "finetune"
    all = "all"


def train(
    stage: Annotated[StageChoice, typer.Argument(help="The stage to train, or all three in order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run, as in runs/NAME.")],
    photos: Annotated[Path | None, typer.Argument(help="Folder of clean photographs to degrade.")] = None,
    val: Annotated[Path | None, typer.Option(help="Folder of clean photographs to validate on.")] = None,
    setting: Annotated[
        str | None,
        typer.Option(
            help="Instead of photographs: adverse-weather, real-weather-stream, real-weather-wgws, three-task, "
            "five-task, ten-task, a .toml of one's own, or pairs."
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder that holds the setting's data.")] = None,
    val_images: Annotated[int, typer.Option(min=1, help="Validate on so many images of each test set.")] = 50,
    preset: Annotated[str, typer.Option(help="The model: tiny or lorair-64.")] = "tiny",
    recipe: Annotated[str | None, typer.Option(help="tiny or published; by default the preset's own.")] = None,
    degradations: Annotated[str | None, typer.Option(help="Of photographs: names by commas, one expert each.")] = None,
    start: Annotated[Path | None, typer.Option(help="Checkpoint of the model, or of its tower, to start from.")] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help="Instead of --start: open_clip weights of the tower, as ViT-L-14-336-quickgelu/openai or MODEL/FILE."
        ),
    ] = None,
    router_steps: Annotated[int | None, typer.Option(min=1, help="Steps of the router stage.")] = None,
    pretrain_steps: Annotated[int | None, typer.Option(min=1, help="Steps of the pre-training stage.")] = None,
    finetune_steps: Annotated[int | None, typer.Option(min=1, help="Steps of the fine-tuning stage.")] = None,
    train_all: Annotated[bool, typer.Option(help="Fine-tune the whole restorer, not its experts alone.")] = False,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images of a step, over all processes.")] = None,
    precision: Annotated[
        PrecisionChoice | None, typer.Option(help="Of activations and products; weights stay in float32.")
    ] = None,
    ema: Annotated[
        float | None, typer.Option(min=0, max=1, help="Keep a moving average of the weights, of this decay, as 0.999.")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Train through torch.compile.")] = False,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between validations and saved states.")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="Saved states of each stage that stay, the newest ones.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the weights, crops and degradations.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default all cores.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches, for each that trains.")] = 1,
) -> None:
    """Train a model on degradations made from clean photographs, or on the pairs of a setting.

    An interrupted run goes on where it was last saved when the same command is given again. The best weights
    are in OUTPUT/best.pt. The published run, on eight GPUs, with AllWeather below DATA:

    \b
    torchrun --nproc-per-node 8 --no-python lorair train all \\
        --setting adverse-weather --root DATA --preset lorair-64 \\
        --clip ViT-L-14-336-quickgelu/openai --workers 8 -o runs/NAME
    """
    import torch
    from rich.console import Console

    from lorair.model import PRESETS
    from lorair.training import ORDER, RECIPES, StageName, StageRecipe, TrainingRun

    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    recipe = recipe or ("tiny" if preset == "tiny" else "published")
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    if threads is not None:
        torch.set_num_threads(threads)
    config, base = PRESETS[preset], RECIPES[recipe]
    if setting is not None and root is not None and photos is None and val is None and degradations is None:
        data, config, base = _setting_data(setting, root, val_images, config, recipe)
    elif photos is not None and val is not None and setting is None and root is None:
        data, config = _photograph_data(photos, val, config, degradations)
    else:
        raise ValueError(
            "say what to train on: either PHOTOS and --val (and --degradations, if you like), or --setting and --root"
        )
    if clip is not None and (start is not None or stage not in {StageChoice.router, StageChoice.all}):
        raise ValueError("--clip is what the router stage starts from, in place of --start")
    steps = {"router": router_steps, "pretrain": pretrain_steps, "finetune": finetune_steps}
    asked = {"batch_size": batch_size, "precision": precision, "ema": ema, "validate_every": validate_every}
    changes = {name: value for name, value in asked.items() if value is not None}
    stages: dict[StageName, StageRecipe] = {
        name: replace(recipe, steps=steps[name] or recipe.steps, **changes) for name, recipe in base.items()
    }
    if train_all:
        stages["finetune"] = replace(stages["finetune"], trained="all")
    run = TrainingRun(
        folder=output,
        config=config,
        recipe=stages,
        data=data,
        seed=seed,
        device=device,
        workers=workers,
        start=_start(start, clip, config, seed),
        compiled=compiled,
        keep=keep,
    )
    run.train(ORDER if stage is StageChoice.all else (stage.value,), Console())


def _start(path: Path | None, clip: str | None, config: "ModelConfig", seed: int) -> "Checkpoint | None":
    import torch

    from lorair.checkpoints import checkpoint_of_clip, read_checkpoint

    if clip is not None:
        torch.manual_seed(seed)
        return checkpoint_of_clip(config, clip)
    return None if path is None else read_checkpoint(path)


def _photograph_data(
    photos: Path, val: Path, config: "ModelConfig", degradations: str | None
) -> "tuple[TrainingData, ModelConfig]":
    from lorair.data import PhotographFolder
    from lorair.training import Photographs

    if degradations is not None:
        config = replace(config, degradations=tuple(degradations.split(",")))
    return Photographs(PhotographFolder(photos), PhotographFolder(val), config.degradations), config


def _setting_data(
    name: str, root: Path, val_images: int, config: "ModelConfig", recipe: str
) -> "tuple[TrainingData, ModelConfig, Recipe]":
    """The data of a setting, the model with its experts, and its recipe where the same one was asked for."""
    from lorair.settings import load_setting
    from lorair.training import RECIPES, SettingData, with_overrides

    setting = load_setting(name, root)
    config = replace(config, degradations=setting.experts, router=replace(config.router, top_k=setting.top_k))
    overrides = setting.overrides if recipe == setting.recipe else {}
    return SettingData(name, setting, root, val_images), config, with_overrides(RECIPES[recipe], overrides)
