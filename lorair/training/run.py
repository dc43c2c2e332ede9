"""A training run: the stages in order, in one folder that holds all they leave."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

import torch
from rich.console import Console
from torch import nn

from lorair.checkpoints import Checkpoint, checkpoint_of, model_of, read_checkpoint, tensors_sha256, write_checkpoint
from lorair.data import Batch, Batches
from lorair.errors import TrainingError
from lorair.model import LoRAIR, ModelConfig, config_to_dict
from lorair.system import machine_facts, remove_unfinished, write_text
from lorair.training.board import Board
from lorair.training.data import TrainingData
from lorair.training.evaluation import Validation, mean_priors, quality, restored_psnr, router_accuracy, sample_grid
from lorair.training.initial import weight_by_frequency
from lorair.training.loop import StageRun, run_stage
from lorair.training.processes import Processes, joined
from lorair.training.progress import StageProgress
from lorair.training.recipes import Recipe, StageName, StageRecipe
from lorair.training.stages import STAGES
from lorair.training.states import States

ORDER: Final[tuple[StageName, ...]] = ("router", "pretrain", "finetune")
BEST: Final = "best.pt"
PERIODIC_CROP: Final = 256
FINAL_CROP: Final = 512
PRIOR_BATCHES: Final = 32


@dataclass(frozen=True)
class TrainingRun:
    """Where a run lives and what it is made of.

    Stage NAME leaves `NAME.pt`, its best weights by validation, and in `states` the newest `keep` states from which it
    goes on when interrupted; `best.pt` equals the latest stage's. `run.json` tells what each call was given and ran
    on, `tensorboard` how it went, where that package is installed. `start` is a checkpoint of the same model, or of
    one whose tower the router starts from. `device` is a torch device's name. `compiled` trains through torch.compile.

    Started by torchrun, the processes share each batch, and the folder must be one that all of them see.
    """

    folder: Path
    config: ModelConfig
    recipe: Recipe
    data: TrainingData
    seed: int = 0
    device: str = "cpu"
    workers: int = 1
    start: Checkpoint | None = None
    compiled: bool = False
    keep: int = 3

    def train(self, stages: Sequence[StageName], console: Console) -> Path:
        """Run the stages and return the path of the best checkpoint.

        Raises TrainingError where a stage before the first one named has left nothing in the folder, or where
        the router's tower is to stay frozen but has no trained weights.
        """
        if "router" in stages and self.recipe["router"].trained == "head" and self.start is None:
            raise TrainingError(
                "this recipe trains the router's head over a frozen tower, so the tower needs trained weights: "
                "name a checkpoint that has them with --start, or open_clip's with --clip"
            )
        with joined(self.device) as processes:
            if not processes.first:
                console = Console(quiet=True)
            else:
                self.folder.mkdir(parents=True, exist_ok=True)
                for folder in (self.folder, self.folder / "states"):
                    remove_unfinished(folder)
                self._record(stages, processes)
            with StageProgress(console, self._board(processes, console)) as progress:
                for name in stages:
                    self._stage(name, progress, processes)
                    processes.wait()
            console.print(f"wrote {self.folder / BEST}")
        return self.folder / BEST

    def _stage(self, name: StageName, progress: StageProgress, processes: Processes) -> None:
        before = self._before(name)
        torch.manual_seed(self.seed)
        recipe = self.recipe[name]
        batches = self._batches(name, recipe.steps)
        identity = {"stage": name, "recipe": _plain(recipe), "seed": list(batches.seed)}
        run_stage(
            StageRun(self._model(before), STAGES[name], recipe, processes, self.compiled),
            batches,
            validate=partial(self._validated, name, processes),
            keep=partial(self._keep, name, before),
            states=States(self.folder / "states", name, identity, self.keep),
            progress=progress,
            workers=self.workers,
        )
        self._complete(name, processes)

    def _board(self, processes: Processes, console: Console) -> Path | None:
        if Board.available():
            return self.folder / "tensorboard" if processes.first else None
        console.print("TensorBoard is not installed, so it gets no record: pip install 'lorair[train]'")
        return None

    def _record(self, stages: Sequence[StageName], processes: Processes) -> None:
        """Add to `run.json` all that is needed to repeat this call."""
        path = self.folder / "run.json"
        calls = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        call = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": sys.argv,
            "stages": list(stages),
            "config": config_to_dict(self.config),
            "recipe": {name: _plain(recipe) for name, recipe in self.recipe.items()},
            "data": self.data.facts,
            "start": None if self.start is None else tensors_sha256(self.start.state),
            "seed": self.seed,
            "processes": processes.count,
            "device": str(processes.device),
            "workers": self.workers,
            "compiled": self.compiled,
            "machine": machine_facts(),
        }
        write_text(path, json.dumps([*calls, call], indent=2) + "\n")

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

    def _share(self, crop: int | None, processes: Processes) -> Iterator[Batch]:
        """This process's part of the validation images."""
        pairs = self.data.validation(crop)
        return (pairs[index] for index in range(processes.rank, len(pairs), processes.count))

    def _validated(self, name: StageName, processes: Processes, model: LoRAIR) -> Validation:
        if name == "router":
            return Validation(router_accuracy(model, self._share(None, processes), processes), "accuracy")
        experts = name == "finetune"
        scores = restored_psnr(model, self._share(PERIODIC_CROP, processes), experts, processes)
        grid = sample_grid(model, self.data.validation(PERIODIC_CROP), experts) if processes.first else None
        return Validation(scores, grid=grid)

    def _keep(self, name: StageName, before: Checkpoint | None, model: LoRAIR) -> None:
        """Write the stage's checkpoint, with what is known of the stages before it."""
        known = {} if before is None else before.training
        stages = {stage: facts for stage, facts in known.get("stages", {}).items() if stage in _earlier(name)}
        frozen_tower = name != "router" or self.recipe[name].trained == "head"
        clip = before.clip if before is not None and frozen_tower else None
        self._write(name, checkpoint_of(model, clip=clip, training={**known, "stages": stages}))

    def _complete(self, name: StageName, processes: Processes) -> None:
        """Add to the stage's checkpoint the mean priors, after the router, and what was measured of it."""
        processes.wait()  # until the first has written it
        checkpoint = read_checkpoint(self.folder / f"{name}.pt")
        stages = dict(checkpoint.training["stages"])
        if name in stages:
            return
        model = model_of(checkpoint).to(processes.device)
        priors = checkpoint.mean_priors
        if name == "router":
            priors = mean_priors(model, self._prior_batches(processes), processes)
            crops = (None, FINAL_CROP, PERIODIC_CROP)
            measured = {
                str(crop or "whole"): router_accuracy(model, self._share(crop, processes), processes) for crop in crops
            }
        else:
            figures = quality(model, self._share(FINAL_CROP, processes), processes)
            measured = {kind: asdict(q) for kind, q in figures.items()}
        stages[name] = {"recipe": _plain(self.recipe[name]), "validation": measured}
        training = {
            "lorair": version("lorair"),
            "torch": str(torch.__version__),
            "seed": self.seed,
            **self.data.facts,
            "stages": stages,
        }
        processes.wait()  # until all have read it
        if processes.first:
            self._write(name, replace(checkpoint, mean_priors=priors, training=training))

    def _prior_batches(self, processes: Processes) -> Iterator[Batch]:
        """Crops as the router was trained on and as the restorer is, none of them trained on."""
        for name in ORDER[:2]:
            yield from self._batches(name, PRIOR_BATCHES, stream=1).share(processes.rank, processes.count)

    def _write(self, name: StageName, checkpoint: Checkpoint) -> None:
        """The stage's own file last: where a run was killed between the two, the stage is completed again."""
        for path in (self.folder / BEST, self.folder / f"{name}.pt"):
            write_checkpoint(path, checkpoint)


def _earlier(name: StageName) -> tuple[StageName, ...]:
    return ORDER[: ORDER.index(name)]


def _plain(recipe: StageRecipe) -> dict[str, Any]:
    """The recipe as data that every container of a checkpoint gives back alike."""
    return json.loads(json.dumps(asdict(recipe)))
