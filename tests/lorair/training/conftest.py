"""A recipe of few steps, and a stage and a run of it in this process."""

import io
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from lorair.data import Batches, CropShapes, DegradedBatches, PhotographFolder
from lorair.model import LoRAIR, ModelConfig
from lorair.plain_data import dict_from_dataclass
from lorair.training import Photographs, StageRecipe, TrainingRun
from lorair.training.loop import StageRun, run_stage
from lorair.training.processes import SINGLE
from lorair.training.progress import StageProgress
from lorair.training.stages import Stage
from lorair.training.states import States
from lorair.training.validation import Validation


@pytest.fixture
def brief() -> StageRecipe:
    return StageRecipe(
        steps=6,
        batch_size=4,
        shapes=CropShapes(24, 24),
        learning_rate=2e-3,
        final_learning_rate=1e-4,
        trained="all",
        gradient_clip=1.0,
        validate_every=2,
    )


@pytest.fixture(scope="session")
def photographs(photograph_folder: Path) -> PhotographFolder:
    return PhotographFolder(photograph_folder)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def batches(photographs: PhotographFolder, small_config: ModelConfig) -> Callable[[StageRecipe], DegradedBatches]:
    def make(recipe: StageRecipe) -> DegradedBatches:
        return DegradedBatches(
            photographs, small_config.degradations, recipe.shapes, recipe.batch_size, recipe.steps, 0, recipe.tasks
        )

    return make


@pytest.fixture(scope="session")
def states_of() -> Callable[..., States]:
    def make(folder: Path, stage: Stage, recipe: StageRecipe) -> States:
        return States(folder, {"stage": stage.name, "recipe": dict_from_dataclass(recipe), "seed": [0]})

    return make


@pytest.fixture
def train_stage(batches, states_of, tmp_path: Path) -> Callable[..., list[LoRAIR]]:
    """Run one stage, validations giving `scores`; returns the models that were kept."""

    def train(
        model: LoRAIR,
        stage: Stage,
        recipe: StageRecipe,
        scores: Iterable[float] | None = None,
        compiled: bool = False,
        folder: str = "state",
        data: Batches | None = None,
    ) -> list[LoRAIR]:
        kept: list[LoRAIR] = []
        values = itertools.repeat(1.0) if scores is None else iter(scores)
        run = StageRun(model, stage, recipe, SINGLE, compiled)
        states = states_of(tmp_path / folder, stage, recipe)
        with StageProgress(quiet()) as progress:
            run_stage(
                run,
                data or batches(recipe),
                lambda _: Validation({"all": next(values)}),
                kept.append,
                states,
                progress,
                workers=0,
            )
        return kept

    return train


@pytest.fixture
def make_run(small_config: ModelConfig, photographs, brief: StageRecipe, tmp_path: Path) -> Callable[..., TrainingRun]:
    def make(**changes: object) -> TrainingRun:
        recipe = replace(brief, steps=2)
        stages = {"router": recipe, "pretrain": recipe, "finetune": replace(recipe, trained="experts", tasks=2)}
        settings = {"folder": tmp_path / "run", "config": small_config, "recipe": stages, "workers": 0}
        data = Photographs(photographs, photographs, small_config.degradations)
        return TrainingRun(data=data, **(settings | changes))  # pyright: ignore

    return make


@pytest.fixture(name="quiet")
def quiet_console() -> Console:
    return quiet()


def quiet() -> Console:
    return Console(file=io.StringIO())
