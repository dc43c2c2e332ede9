"""One loop for all stages: batches, optimiser, validation, and states from which an interrupted run resumes.

A batch follows from the seed and the step, the learning rate from the step, and nothing else is drawn, so that a
state is the weights, the optimiser's moments and the step.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lorair.data import Batch, Batches, loaded
from lorair.errors import TrainingError
from lorair.model import LoRAIR
from lorair.training.processes import Processes
from lorair.training.progress import StageProgress
from lorair.training.recipes import StageRecipe
from lorair.training.stages import Stage
from lorair.training.states import StageState, States
from lorair.training.validation import Validation


class StageRun:
    """A running stage: the model, its optimiser and data, and the best validation score so far.

    `compiled` runs the stage's network through torch.compile. `best_model` is what is validated and kept: the average
    of the weights where the recipe asks for one.
    """

    def __init__(
        self, model: LoRAIR, stage: Stage, recipe: StageRecipe, processes: Processes, compiled: bool = False
    ) -> None:
        model = model.to(processes.device).to(memory_format=torch.channels_last)
        self.model, self.stage, self.recipe, self.processes = model, stage, recipe, processes
        self.step, self.best = 0, float("-inf")
        self.parameters = stage.trained(model, recipe)
        model.requires_grad_(False)
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
        )
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=recipe.precision == "fp16")
        self.average = (
            None if recipe.ema is None else AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))
        )
        if compiled:
            stage.network(model).compile()
        self.loss = StageLoss(model, stage, recipe)
        if processes.count > 1:
            self.loss = DistributedDataParallel(self.loss)

    @property
    def best_model(self) -> LoRAIR:
        return self.model if self.average is None else cast(LoRAIR, self.average.module)

    def advance(self, batch: Batch) -> tuple[float, float]:
        """Take one optimiser step; the batch's loss and learning rate. TrainingError where the loss is not finite."""
        rate = self.recipe.learning_rate_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss: Tensor = self.loss(*batch)
        value = loss.item()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss of stage {self.stage.name} is {value} at step {self.step} (batch {self.step}, degradations "
                f"{[self.model.degradations[label] for label in batch.labels.tolist()]}); "
                "the last saved state is intact: lower the learning rate, or look at the images of that batch"
            )
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        if self.recipe.gradient_clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.gradient_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.step += 1
        return value, rate

    def state(self) -> StageState:
        """All that `restore` needs to resume as if nothing had happened."""
        state: StageState = {
            "step": self.step,
            "best": self.best,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        if self.average is not None:
            state["average"] = self.average.state_dict()
        return state

    def restore(self, state: StageState) -> None:
        """Resume from a saved state."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None and "average" in state:
            self.average.load_state_dict(state["average"])
        self.step, self.best = state["step"], state["best"]


class StageLoss(nn.Module):
    """A stage's loss as a module, which DistributedDataParallel can wrap."""

    def __init__(self, model: LoRAIR, stage: Stage, recipe: StageRecipe) -> None:
        super().__init__()
        self.model, self.stage, self.recipe = model, stage, recipe

    def forward(self, degraded: Tensor, clean: Tensor, labels: Tensor) -> Tensor:
        return self.stage.loss(self.model, Batch(degraded, clean, labels), self.recipe)


def run_stage(
    run: StageRun,
    batches: Batches,
    validate: Callable[[LoRAIR], Validation],
    keep: Callable[[LoRAIR], None],
    states: States,
    progress: StageProgress,
    workers: int = 1,
) -> None:
    """Train one stage, from the newest of its states.

    `keep` is called with the model each time that the mean of its scores is the best so far, only in the first process,
    which also writes the states. Raises TrainingError where the loss is not finite, or where the states belong to
    another recipe or seed.
    """
    processes, recipe = run.processes, run.recipe
    if (state := states.newest()) is not None:
        run.restore(state)
    progress.begin(run.stage.name, run.step, recipe.steps, recipe.batch_size)
    for waiting in loaded(batches.share(processes.rank, processes.count), run.step, workers):
        loss, rate = run.advance(Batch(*(tensor.to(processes.device, non_blocking=True) for tensor in waiting)))
        progress.advance(run.step, loss, rate)
        if run.step % recipe.validate_every == 0 or run.step == recipe.steps:
            validation = validate(run.best_model)
            progress.report(run.step, loss, validation)
            better, run.best = validation.mean > run.best, max(validation.mean, run.best)
            if processes.first:
                if better:
                    keep(run.best_model)
                states.write(run.state())
