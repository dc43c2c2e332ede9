"""A training run: the stages in order, in one folder that holds all their files."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from lorair.checkpoints import Checkpoint, checkpoint_of, model_of, read_checkpoint, tensors_sha256
from lorair.errors import TrainingError
from lorair.model import LoRAIR, ModelConfig, config_to_dict
from lorair.plain_data import dict_from_dataclass
from lorair.system import machine_facts
from lorair.training.board import Board
from lorair.training.data import TrainingData
from lorair.training.folder import RunFolder
from lorair.training.initial import checkpoint_before, earlier_stages, initial_model
from lorair.training.loop import StageRun, run_stage
from lorair.training.processes import Processes, joined
from lorair.training.progress import StageProgress
from lorair.training.recipes import ORDER, Recipe, StageName
from lorair.training.stages import STAGES
from lorair.training.states import StageIdentity, States
from lorair.training.summary import PERIODIC_CROP, completed, stages_of
from lorair.training.validation import Validation, restored_psnr, router_accuracy, sample_grid


@dataclass(frozen=True)
class TrainingRun:
    """The folder of a run, and everything that defines it.

    Started by torchrun, the processes share each batch, and the folder must be one that all of them see.

    Attributes:
        folder: of the run's files, see `RunFolder`.
        config: of the model to train.
        recipe: of each stage.
        data: what is trained and validated on.
        seed: of the weights, crops and degradations.
        device: a torch device's name, or auto.
        workers: processes that prepare batches, 0 for this one.
        start: a checkpoint of the same model, or of one whose tower the router starts from.
        compiled: whether networks are trained through torch.compile.
        keep: how many states of each stage stay, the newest ones.
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

    @property
    def files(self) -> RunFolder:
        return RunFolder(self.folder)

    def train(self, stages: Sequence[StageName], console: Console) -> Path:
        """Run the stages and return the path of the best checkpoint.

        Raises:
            TrainingError: the stage before the first one named is missing from the folder; or the router's tower
                is to stay frozen, but has no trained weights; or see `run_stage`.
        """
        if "router" in stages and self.recipe["router"].trained == "head" and self.start is None:
            raise TrainingError(
                "this recipe trains the router's head over a frozen tower, so the tower needs trained weights: "
                "name a checkpoint that has them with --start, or open_clip's with --clip"
            )
        with joined(self.device) as processes:
            if processes.first:
                self.files.prepare()
                self.files.record(self._call(stages, processes))
            else:
                console = Console(quiet=True)
            with StageProgress(console, self._boards(processes, console)) as progress:
                for name in stages:
                    self._stage(name, progress, processes)
                    processes.wait()
            console.print(f"wrote {self.files.best}")
        return self.files.best

    def _stage(self, name: StageName, progress: StageProgress, processes: Processes) -> None:
        before = checkpoint_before(name, self.files, self.config, self.start)
        torch.manual_seed(self.seed)
        recipe = self.recipe[name]
        batches = self.data.batches(recipe, recipe.steps, (self.seed, ORDER.index(name), 0))
        identity: StageIdentity = {"stage": name, "recipe": dict_from_dataclass(recipe), "seed": list(batches.seed)}
        run_stage(
            StageRun(initial_model(self.config, before), STAGES[name], recipe, processes, self.compiled),
            batches,
            validate=partial(self._validated, name, processes),
            keep=partial(self._keep, name, before),
            states=States(self.files.states, identity, self.keep),
            progress=progress,
            workers=self.workers,
        )
        self._complete(name, processes)

    def _validated(self, name: StageName, processes: Processes, model: LoRAIR) -> Validation:
        if name == "router":
            pairs = processes.share(self.data.validation(None))
            return Validation(router_accuracy(model, pairs, processes), "accuracy")
        experts, pairs = name == "finetune", self.data.validation(PERIODIC_CROP)
        scores = restored_psnr(model, processes.share(pairs), experts, processes)
        return Validation(scores, grid=sample_grid(model, pairs, experts) if processes.first else None)

    def _keep(self, name: StageName, before: Checkpoint | None, model: LoRAIR) -> None:
        """Write the stage's checkpoint, with what is known of the stages before it."""
        known = {} if before is None else before.training
        stages = {} if before is None else stages_of(before)
        stages = {stage: facts for stage, facts in stages.items() if stage in earlier_stages(name)}
        frozen_tower = name != "router" or self.recipe[name].trained == "head"
        clip = before.clip if before is not None and frozen_tower else None
        self.files.write(name, checkpoint_of(model, clip=clip, training={**known, "stages": stages}))

    def _complete(self, name: StageName, processes: Processes) -> None:
        """Add to the stage's checkpoint what was measured of it, unless an earlier call has."""
        processes.wait()  # until the first has written it
        checkpoint = read_checkpoint(self.files.stage(name))
        if name in stages_of(checkpoint):
            return
        model = model_of(checkpoint).to(processes.device)
        checkpoint = completed(name, checkpoint, model, self.data, self.recipe, self.seed, processes)
        processes.wait()  # until all have read it
        if processes.first:
            self.files.write(name, checkpoint)

    def _boards(self, processes: Processes, console: Console) -> Path | None:
        if not Board.available():
            console.print("TensorBoard is not installed, so no curves are recorded: pip install 'lorair[train]'")
            return None
        return self.files.boards if processes.first else None

    def _call(self, stages: Sequence[StageName], processes: Processes) -> dict[str, object]:
        """All that is needed to repeat this call, as plain data."""
        return {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": sys.argv,
            "stages": list(stages),
            "config": config_to_dict(self.config),
            "recipe": {name: dict_from_dataclass(recipe) for name, recipe in self.recipe.items()},
            "data": self.data.facts,
            "start": None if self.start is None else tensors_sha256(self.start.state),
            "seed": self.seed,
            "processes": processes.count,
            "device": str(processes.device),
            "workers": self.workers,
            "compiled": self.compiled,
            "machine": machine_facts(),
        }
