"""One loop for all stages: batches, optimiser, validation, and a state from which an interrupted run goes on.

A batch follows from the seed and the step, the learning rate from the step, and nothing else is drawn, so that the
state is the weights, the optimiser's moments and the step.
"""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lorair.data import Batch, Batches, loaded
from lorair.errors import TrainingError
from lorair.model import LoRAIR
from lorair.training.progress import StageProgress
from lorair.training.recipes import StageRecipe
from lorair.training.stages import Stage


@dataclass
class Run:
    """A stage under way: what a saved state restores. `best` is the best validation score so far."""

    model: LoRAIR
    optimizer: torch.optim.Optimizer
    step: int = 0
    best: float = float("-inf")


def run_stage(
    model: LoRAIR,
    stage: Stage,
    recipe: StageRecipe,
    batches: Batches,
    score: Callable[[LoRAIR], Mapping[str, float]],
    keep: Callable[[LoRAIR], None],
    state_path: Path,
    progress: StageProgress,
    workers: int = 1,
) -> None:
    """Train one stage of `model`, in place, from where `state_path` left off.

    `score` gives validation figures by degradation, higher is better; `keep` is called with the model each time
    that their mean is the best so far. Raises TrainingError where the loss is not finite, or where `state_path`
    belongs to another recipe, seed or model.
    """
    parameters = _select(model, stage.trained(model, recipe))
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )
    run = Run(model, optimizer)
    identity = {"stage": stage.name, "recipe": asdict(recipe), "seed": batches.seed}
    if state_path.exists():
        _restore(run, state_path, identity)
    progress.begin(stage.name, run.step, recipe.steps, recipe.batch_size)
    for waiting in loaded(batches, run.step, workers):
        batch = Batch(*(tensor.to(model.device, non_blocking=True) for tensor in waiting))
        rate = recipe.learning_rate_at(run.step)
        loss = _step(run, stage, recipe, batch, parameters, rate)
        run.step += 1
        progress.advance(run.step, loss, rate)
        if run.step % recipe.validate_every == 0 or run.step == recipe.steps:
            scores = score(model)
            progress.report(run.step, loss, scores)
            mean = sum(scores.values()) / len(scores)
            if mean > run.best:
                run.best = mean
                keep(model)
            _save(run, state_path, identity)


def _select(model: LoRAIR, trained: list[nn.Parameter]) -> list[nn.Parameter]:
    model.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained


def _step(
    run: Run, stage: Stage, recipe: StageRecipe, batch: Batch, parameters: list[nn.Parameter], rate: float
) -> float:
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    loss = stage.loss(run.model, batch, recipe)
    value = loss.item()
    if not torch.isfinite(loss):
        raise TrainingError(
            f"the loss of stage {stage.name} is {value} at step {run.step} (batch {run.step}, degradations "
            f"{[run.model.degradations[label] for label in batch.labels.tolist()]}); "
            "the last saved state is intact: lower the learning rate, or look at the photographs of that batch"
        )
    run.optimizer.zero_grad()
    loss.backward()
    if recipe.gradient_clip is not None:
        nn.utils.clip_grad_norm_(parameters, recipe.gradient_clip)
    run.optimizer.step()
    return value


def _save(run: Run, path: Path, identity: Mapping[str, Any]) -> None:
    state = {
        "identity": dict(identity),
        "step": run.step,
        "best": run.best,
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
    }
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        torch.save(state, aside)
        os.replace(aside, path)
    finally:
        Path(aside).unlink(missing_ok=True)


def _restore(run: Run, path: Path, identity: Mapping[str, Any]) -> None:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["identity"] != identity:
        raise TrainingError(
            f"{path} belongs to a run with another recipe or seed; repeat its command to go on with it, "
            "or name another output folder"
        )
    weights: dict[str, Tensor] = state["model"]
    run.model.load_state_dict(weights)
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.best = state["step"], state["best"]
