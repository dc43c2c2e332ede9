"""Training as one call: what `lorair train` does."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from lorair.checkpoints import Checkpoint, checkpoint_of_clip, read_checkpoint
from lorair.model import PRESETS, ModelConfig
from lorair.training.data import TrainingData
from lorair.training.presets import RECIPES
from lorair.training.recipes import ORDER, RecipeChanges, StageName
from lorair.training.run import TrainingRun

UNCHANGED = RecipeChanges()


def train(
    folder: str | Path,
    data: TrainingData,
    stages: Sequence[StageName] = ORDER,
    *,
    preset: str = "tiny",
    recipe: str | None = None,
    changes: RecipeChanges = UNCHANGED,
    start: str | Path | None = None,
    clip: str | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    compiled: bool = False,
    keep: int = 3,
    console: Console | None = None,
) -> Path:
    """Train a model, stage by stage; called again with the same arguments, resume an interrupted run.

    `train("runs/mine", Photographs.open(Path("photos/train"), Path("photos/val"), ("noise", "rain")))`

    Args:
        folder: where the run's checkpoints, states and records go.
        data: photographs to degrade, `Photographs.open`, or a setting's pairs, `SettingData.open`.
        stages: in order; a stage builds on the one before it in the folder, or on `start`.
        preset: the model, a name of `lorair.PRESETS`; it gets one expert for each label of the data.
        recipe: a name of `RECIPES`; by default `tiny` for the preset of that name, else `published`.
        changes: changes to the recipe.
        start: checkpoint of the same model, or of one whose tower the router starts from.
        clip: in place of `start`, open_clip's weights of the tower, `MODEL/TAG` or `MODEL/FILE`.
        seed: of the weights, crops and degradations.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        workers: processes that prepare batches, 0 for this one.
        compiled: train through torch.compile.
        keep: how many saved states of each stage stay.
        console: where progress is shown; None shows none.

    Returns:
        The path of the best checkpoint.

    Raises:
        ValueError: an argument is unknown or does not fit another.
        CheckpointError: `start` or `clip` cannot be read.
        ImageError: images are missing or cannot be read.
        TrainingError: a stage cannot begin, cannot be resumed, or its loss is not finite.
        RuntimeUnavailableError: the device is not available.
    """
    base = preset_named(preset)
    recipe = recipe or ("tiny" if preset == "tiny" else "published")
    if recipe not in RECIPES:
        raise ValueError(f"unknown recipe {recipe!r}; choose one of {', '.join(RECIPES)}")
    if clip is not None and (start is not None or "router" not in stages):
        raise ValueError("--clip applies to the router stage and replaces --start; leave one of them out")
    config = data.config(base)
    run = TrainingRun(
        folder=Path(folder),
        config=config,
        recipe=changes.applied_to(data.recipe(recipe)),
        data=data,
        seed=seed,
        device=device,
        workers=workers,
        start=_start(start, clip, config, seed),
        compiled=compiled,
        keep=keep,
    )
    return run.train(stages, console or Console(quiet=True))


def preset_named(name: str) -> ModelConfig:
    """The configuration of `lorair.PRESETS` of a name; ValueError where there is none."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def _start(path: str | Path | None, clip: str | None, config: ModelConfig, seed: int) -> Checkpoint | None:
    if clip is not None:
        torch.manual_seed(seed)  # of the head, which CLIP does not have
        return checkpoint_of_clip(config, clip)
    return None if path is None else read_checkpoint(path)
