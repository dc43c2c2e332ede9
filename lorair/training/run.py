"""A training run: the stages in order, in one folder that holds all they leave."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import torch
from rich.console import Console
from torch import Tensor, nn

import lorair
from lorair.checkpoint import Checkpoint, checkpoint_of, model_of, read_checkpoint, write_checkpoint
from lorair.config import ModelConfig
from lorair.data import Batch, Batches
from lorair.errors import TrainingError
from lorair.model import LoRAIR
from lorair.training.data import TrainingData
from lorair.training.evaluation import mean_priors, quality, restored_psnr, router_accuracy
from lorair.training.initial import weight_by_frequency
from lorair.training.loop import run_stage
from lorair.training.progress import StageProgress
from lorair.training.recipes import Recipe, StageName, StageRecipe
from lorair.training.stages import STAGES

ORDER: Final[tuple[StageName, ...]] = ("router", "pretrain", "finetune")
BEST: Final = "best.pt"
PERIODIC_CROP: Final = 256
FINAL_CROP: Final = 512
PRIOR_BATCHES: Final = 32


@dataclass(frozen=True)
class TrainingRun:
    """Where a run lives and what it is made of.

    Stage NAME leaves `NAME.pt`, its best weights by validation, and `NAME.state`, from which it goes on when
    interrupted; `best.pt` equals the latest stage's. `start` is a checkpoint of the same model, or of one whose tower
    the router starts from. `device` is a torch device's name.
    """

    folder: Path
    config: ModelConfig
    recipe: Recipe
    data: TrainingData
    seed: int = 0
    device: str = "cpu"
    workers: int = 1
    start: Checkpoint | None = None

    def train(self, stages: Sequence[StageName], console: Console) -> Path:
        """Run the stages and return the path of the best checkpoint.

        Raises TrainingError where a stage before the first one named has left nothing in the folder, or where
        the router's tower is to stay frozen but has no trained weights.
        """
        if "router" in stages and self.recipe["router"].trained == "head" and self.start is None:
            raise TrainingError(
                "this recipe trains the router's head over a frozen tower, so the tower needs trained weights: "
                "name a checkpoint that has them with --start"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        with StageProgress(console) as progress:
            for name in stages:
                self._stage(name, progress)
        return self.folder / BEST

    def _stage(self, name: StageName, progress: StageProgress) -> None:
        before = self._before(name)
        torch.manual_seed(self.seed)
        model = self._model(before)
        run_stage(
            model.to(self.device).to(memory_format=torch.channels_last),
            STAGES[name],
            self.recipe[name],
            self._batches(name, self.recipe[name].steps),
            score=partial(self._score, name),
            keep=partial(self._keep, name, before),
            state_path=self.folder / f"{name}.state",
            progress=progress,
            workers=self.workers,
        )
        self._complete(name)

    def _model(self, before: Checkpoint | None) -> LoRAIR:
        if before is not None and before.config == self.config:
            return model_of(before)
        model = LoRAIR(self.config)
        if before is None:
            weight_by_frequency(cast(nn.Conv2d, model.router.tower.conv1))
        else:
            model.router.tower.load_state_dict(model_of(before).router.tower.state_dict())
        return model

    def _before(self, name: StageName) -> Checkpoint | None:
        """What the stage builds on: the stage before it in this folder, else the checkpoint to start from.

        The router can build on a checkpoint whose tower alone is the model's, as CLIP's is.
        """
        if earlier := _earlier(name):
            path = self.folder / f"{earlier[-1]}.pt"
            if path.exists():
                return read_checkpoint(path)
            if self.start is None:
                raise TrainingError(f"stage {name} builds on {path}, which is missing: train that stage first")
        if self.start is None or self.start.config == self.config:
            return self.start
        if self.start.config.router.tower != self.config.router.tower:
            raise TrainingError("the checkpoint to start from has another tower than the model to be trained")
        if name != "router":
            raise TrainingError(
                "the checkpoint to start from has other experts or sizes than the model to be trained, "
                "so its tower alone can be used: train the router stage first"
            )
        return self.start

    def _batches(self, name: StageName, steps: int, stream: int = 0) -> Batches:
        return self.data.batches(self.recipe[name], steps, (self.seed, ORDER.index(name), stream))

    def _score(self, name: StageName, model: LoRAIR) -> Mapping[str, float]:
        if name == "router":
            return router_accuracy(model, self.data.validation(None))
        return restored_psnr(model, self.data.validation(PERIODIC_CROP), experts=name == "finetune")

    def _keep(self, name: StageName, before: Checkpoint | None, model: LoRAIR) -> None:
        """Write the stage's checkpoint, with what is known of the stages before it."""
        known = {} if before is None else before.training
        stages = {stage: facts for stage, facts in known.get("stages", {}).items() if stage in _earlier(name)}
        frozen_tower = name != "router" or self.recipe[name].trained == "head"
        clip = before.clip if before is not None and frozen_tower else None
        self._write(name, checkpoint_of(model, clip=clip, training={**known, "stages": stages}))

    def _complete(self, name: StageName) -> None:
        """Add to the stage's checkpoint the mean priors, after the router, and what was measured of it."""
        checkpoint = read_checkpoint(self.folder / f"{name}.pt")
        stages = dict(checkpoint.training["stages"])
        if name in stages:
            return
        model = model_of(checkpoint).to(self.device)
        if name == "router":
            model.mean_priors = mean_priors(model, self._prior_batches())
            crops = (None, FINAL_CROP, PERIODIC_CROP)
            measured = {str(crop or "whole"): router_accuracy(model, self.data.validation(crop)) for crop in crops}
        else:
            measured = {kind: asdict(q) for kind, q in quality(model, self.data.validation(FINAL_CROP)).items()}
        stages[name] = {"recipe": _plain(self.recipe[name]), "validation": measured}
        training = {
            "lorair": lorair.__version__,
            "torch": str(torch.__version__),
            "seed": self.seed,
            **self.data.facts,
            "stages": stages,
        }
        self._write(name, replace(checkpoint, mean_priors=_on_cpu(model.mean_priors), training=training))

    def _prior_batches(self) -> Iterator[Batch]:
        """Crops as the router was trained on and as the restorer is, none of them trained on."""
        for name in ORDER[:2]:
            yield from self._batches(name, PRIOR_BATCHES, stream=1)

    def _write(self, name: StageName, checkpoint: Checkpoint) -> None:
        for path in (self.folder / f"{name}.pt", self.folder / BEST):
            write_checkpoint(path, checkpoint)


def _earlier(name: StageName) -> tuple[StageName, ...]:
    return ORDER[: ORDER.index(name)]


def _on_cpu(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().cpu()


def _plain(recipe: StageRecipe) -> dict[str, Any]:
    """The recipe as data that every container of a checkpoint gives back alike."""
    return json.loads(json.dumps(asdict(recipe)))
