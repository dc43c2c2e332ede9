"""How each stage is trained, as frozen dataclasses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

from lorair.data import CropShapes

StageName = Literal["router", "pretrain", "finetune"]
Precision = Literal["fp32", "bf16", "fp16"]

ORDER: Final[tuple[StageName, ...]] = ("router", "pretrain", "finetune")


@dataclass(frozen=True)
class StageRecipe:
    """One stage's optimisation: AdamW under a cosine learning rate.

    Attributes:
        steps: of the optimiser.
        batch_size: images of a step, over all processes.
        shapes: of the crops.
        learning_rate: after the warm-up.
        final_learning_rate: at the last step.
        trained: of the router its head or all of it; of the restorer in fine-tuning its experts or all of it.
        gates: whether the router's experts take part in restoring, or none.
        crop: side of the centre that the restorer learns from, None for the whole crop; the router is given all of it.
        gamma: varies the exposure of photographs that are degraded in training; pairs of files keep theirs.
        warmup: steps of a learning rate that rises from zero.
        betas: of AdamW.
        weight_decay: of AdamW.
        gradient_clip: bound of the gradient's norm, None for no bound.
        tasks: degradations that share a batch, None for all of them.
        precision: other than fp32, what is trained runs under autocast; fp16 with a scaled loss.
        routing: precision of the frozen router that steers the restorer.
        ema: decay of an exponential moving average of the weights, which then is what is validated and kept; None
            for the weights themselves.
        validate_every: steps between validations, at which the state of the run is saved too.
    """

    steps: int
    batch_size: int
    shapes: CropShapes
    learning_rate: float
    final_learning_rate: float
    trained: Literal["head", "experts", "all"]
    gates: Literal["none", "router"] = "none"
    crop: int | None = None
    gamma: float = 1.0
    warmup: int = 0
    betas: tuple[float, float] = (0.9, 0.9)
    weight_decay: float = 0.0
    gradient_clip: float | None = None
    tasks: int | None = None
    precision: Precision = "fp32"
    routing: Precision = "fp32"
    ema: float | None = None
    validate_every: int = 5000

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine from `learning_rate` to `final_learning_rate` at the last step."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - 1 - self.warmup)
        span = self.learning_rate - self.final_learning_rate
        return self.final_learning_rate + span * (1 + math.cos(math.pi * min(progress, 1))) / 2


Recipe = Mapping[StageName, StageRecipe]


def with_overrides(recipe: Recipe, overrides: Mapping[str, Mapping[str, int | float]]) -> Recipe:
    """The recipe with other numbers, by stage. Raises ValueError for a stage or a number that it does not have."""
    known = {field.name for field in fields(StageRecipe)}
    for stage, numbers in overrides.items():
        if stage not in recipe or not set(numbers) <= known:
            raise ValueError(f"a recipe has no such field to override: {stage}.{', '.join(numbers)}")
    return {name: replace(stage, **overrides.get(name, {})) for name, stage in recipe.items()}


@dataclass(frozen=True)
class RecipeChanges:
    """What one call changes of a named recipe; None keeps what the recipe has.

    Attributes:
        router_steps: steps of the router stage.
        pretrain_steps: steps of the pre-training stage.
        finetune_steps: steps of the fine-tuning stage.
        batch_size: images of a step, over all processes.
        precision: of activations and products of the network that is trained.
        ema: decay of the moving average of the weights.
        validate_every: steps between validations and saved states.
        train_all: fine-tune the whole restorer, not only its experts.
    """

    router_steps: int | None = None
    pretrain_steps: int | None = None
    finetune_steps: int | None = None
    batch_size: int | None = None
    precision: Precision | None = None
    ema: float | None = None
    validate_every: int | None = None
    train_all: bool = False

    def applied_to(self, recipe: Recipe) -> dict[StageName, StageRecipe]:
        """The recipe with these changes."""
        of_all = {name: getattr(self, name) for name in ("batch_size", "precision", "ema", "validate_every")}
        changed = {name: value for name, value in of_all.items() if value is not None}
        steps: dict[StageName, int | None] = {
            "router": self.router_steps,
            "pretrain": self.pretrain_steps,
            "finetune": self.finetune_steps,
        }
        stages: dict[StageName, StageRecipe] = {
            name: replace(stage, steps=steps[name] or stage.steps, **changed) for name, stage in recipe.items()
        }
        if self.train_all:
            stages["finetune"] = replace(stages["finetune"], trained="all")
        return stages
