"""The command `lorair train`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lorair.training import TrainingData

DATA, MODEL, SCHEDULE = "Data", "Model and initial weights", "Schedule"
SPEED, RUN = "Precision and speed", "Reproducing and resuming"


class PrecisionChoice(StrEnum):
    """Numeric type of a training step."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class StageChoice(StrEnum):
    """A stage of training, or all three in order."""

    router = "router"
    pretrain = "pretrain"
    finetune = "finetune"
    all = "all"


Stage = Annotated[StageChoice, typer.Argument(help="Stage to train, or all three in order.")]
Photos = Annotated[Path | None, typer.Argument(help="Folder of clean photographs to degrade.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder of the run, such as runs/NAME.")]
Val = Annotated[Path | None, typer.Option(help="Folder of clean photographs to validate on.")]
SettingName = Annotated[
    str | None,
    typer.Option(
        help="Train on pairs instead: adverse-weather, real-weather-stream, real-weather-wgws, three-task, "
        "five-task, ten-task, a .toml file, or pairs."
    ),
]
Root = Annotated[Path | None, typer.Option(help="Folder that holds the setting's data.")]
Preset = Annotated[str, typer.Option(help="Model: tiny or lorair-64.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]

Degradations = Annotated[
    str | None,
    typer.Option(help="Degradations of the photographs, separated by commas; one expert each.", rich_help_panel=DATA),
]
ValImages = Annotated[int, typer.Option(min=1, help="Validation images per test set.", rich_help_panel=DATA)]
Workers = Annotated[
    int, typer.Option(min=0, help="Processes that prepare batches, per training process.", rich_help_panel=DATA)
]
Start = Annotated[
    Path | None,
    typer.Option(help="Checkpoint to start from; of another model only its tower is used.", rich_help_panel=MODEL),
]
Clip = Annotated[
    str | None,
    typer.Option(
        help="Instead of --start: the tower's open_clip weights, such as ViT-L-14-336-quickgelu/openai or MODEL/FILE.",
        rich_help_panel=MODEL,
    ),
]
TrainAll = Annotated[
    bool, typer.Option("--train-all", help="Fine-tune the whole restorer, not only its experts.", rich_help_panel=MODEL)
]
Recipe = Annotated[str | None, typer.Option(help="tiny or published; default: the preset's.", rich_help_panel=SCHEDULE)]
RouterSteps = Annotated[int | None, typer.Option(min=1, help="Steps of the router stage.", rich_help_panel=SCHEDULE)]
PretrainSteps = Annotated[
    int | None, typer.Option(min=1, help="Steps of the pre-training stage.", rich_help_panel=SCHEDULE)
]
FinetuneSteps = Annotated[
    int | None, typer.Option(min=1, help="Steps of the fine-tuning stage.", rich_help_panel=SCHEDULE)
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Images per step, over all processes.", rich_help_panel=SCHEDULE)
]
Ema = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Decay of a moving average of the weights, such as 0.999.",
        rich_help_panel=SCHEDULE,
    ),
]
ValidateEvery = Annotated[
    int | None, typer.Option(min=1, help="Steps between validations and saved states.", rich_help_panel=SCHEDULE)
]
Precision = Annotated[
    PrecisionChoice | None,
    typer.Option(help="Precision of activations and products; weights stay float32.", rich_help_panel=SPEED),
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the network with torch.compile.", rich_help_panel=SPEED)
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: all cores.", rich_help_panel=SPEED)]
Seed = Annotated[int, typer.Option(help="Seed of weights, crops and degradations.", rich_help_panel=RUN)]
Keep = Annotated[int, typer.Option(min=1, help="Saved states to keep per stage.", rich_help_panel=RUN)]


def train(
    stage: Stage,
    output: Output,
    photos: Photos = None,
    val: Val = None,
    setting: SettingName = None,
    root: Root = None,
    preset: Preset = "tiny",
    device: Device = "auto",
    degradations: Degradations = None,
    val_images: ValImages = 50,
    workers: Workers = 1,
    start: Start = None,
    clip: Clip = None,
    train_all: TrainAll = False,
    recipe: Recipe = None,
    router_steps: RouterSteps = None,
    pretrain_steps: PretrainSteps = None,
    finetune_steps: FinetuneSteps = None,
    batch_size: BatchSize = None,
    ema: Ema = None,
    validate_every: ValidateEvery = None,
    precision: Precision = None,
    compiled: Compile = False,
    threads: Threads = None,
    seed: Seed = 0,
    keep: Keep = 3,
) -> None:
    """Train a model on degraded photographs, or on the pairs of a setting.

    The best weights are in OUTPUT/best.pt. Run the same command again to resume an interrupted run. On several GPUs:
    torchrun --nproc-per-node GPUS --no-python lorair train ...
    """
    import torch
    from rich.console import Console

    from lorair import training

    if threads is not None:
        torch.set_num_threads(threads)
    computed_in = None if precision is None else precision.value
    steps = (router_steps, pretrain_steps, finetune_steps)
    training.train(
        output,
        _data(photos, val, degradations, preset, setting, root, val_images),
        training.ORDER if stage is StageChoice.all else (stage.value,),
        preset=preset,
        recipe=recipe,
        changes=training.RecipeChanges(*steps, batch_size, computed_in, ema, validate_every, train_all),
        start=start,
        clip=clip,
        seed=seed,
        device=device,
        workers=workers,
        compiled=compiled,
        keep=keep,
        console=Console(),
    )


def _data(
    photos: Path | None,
    val: Path | None,
    degradations: str | None,
    preset: str,
    setting: str | None,
    root: Path | None,
    val_images: int,
) -> "TrainingData":
    from lorair.training import Photographs, SettingData, preset_named

    match photos, val, degradations, setting, root:
        case None, None, None, str(), Path():
            return SettingData.open(setting, root, val_images)
        case Path(), Path(), _, None, None:
            names = degradations.split(",") if degradations else preset_named(preset).degradations
            return Photographs.open(photos, val, names)
        case _:
            raise ValueError("give the training data: either PHOTOS with --val, or --setting with --root")
