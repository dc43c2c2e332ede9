"""How each stage is trained: frozen dataclasses and named recipes as plain data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final, Literal

from lorair.data import CropShapes

StageName = Literal["router", "pretrain", "finetune"]
Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class StageRecipe:
    """One stage's optimisation: AdamW under a cosine learning rate.

    `batch_size` images make a step, over all processes; `tasks` degradations share it, None for all of them. `trained`
    names the parameters of the stage: of the router its head or all of it, of the restorer in fine-tuning its experts
    or all of it. `gates` says whether the router's experts take part in restoring, or none. `crop` is the side of the
    centre that the restorer learns from, None for all of an image, while the router sees all of it. `gamma` varies the
    exposure of photographs that are degraded in training; pairs of files keep theirs. `gradient_clip` bounds the
    gradient's norm.

    `precision` other than fp32 runs what is trained under autocast, fp16 with a scaled loss; `routing` is the precision
    of the frozen router that steers the restorer. `ema` is the decay of an exponential moving average of the weights,
    which then is what is validated and kept, None for the weights themselves. Every `validate_every` steps the model
    is validated and the state of the run saved.
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
            raise ValueError(f"no such numbers of a recipe to override: {stage}.{', '.join(numbers)}")
    return {name: replace(stage, **overrides.get(name, {})) for name, stage in recipe.items()}


# "published" follows the official configuration of LoRA-IR (arXiv 2410.15385) for adverse weather, of eight GPUs: the
# router learns from 8 images of each class a GPU for 10 epochs of 10,000 images a class. There each training set has
# its own resolution, here the router's crops range up to the whole photograph.
RECIPES: Final[Mapping[str, Recipe]] = {
    "published": {
        "router": StageRecipe(
            steps=1562,
            batch_size=192,
            shapes=CropShapes(256, 512, aspect=1.5),
            learning_rate=2e-4,
            final_learning_rate=1e-5,
            trained="head",
            betas=(0.9, 0.999),
            precision="bf16",
            validate_every=500,
        ),
        "pretrain": StageRecipe(
            steps=200_000,
            batch_size=64,
            shapes=CropShapes(256, 256),
            learning_rate=1e-3,
            final_learning_rate=5e-4,
            trained="all",
            weight_decay=1e-3,
            gradient_clip=0.01,
            routing="bf16",
        ),
        "finetune": StageRecipe(
            steps=100_000,
            batch_size=64,
            shapes=CropShapes(256, 256),
            learning_rate=1e-4,
            final_learning_rate=1e-5,
            trained="experts",
            gates="router",
            weight_decay=1e-3,
            gradient_clip=0.01,
            routing="bf16",
        ),
    },
    "tiny": {
        "router": StageRecipe(
            steps=4000,
            batch_size=16,
            shapes=CropShapes(160, 512, aspect=1.8),
            learning_rate=1.2e-3,
            final_learning_rate=1e-5,
            trained="all",
            gamma=2.5,
            warmup=100,
            betas=(0.9, 0.99),
            weight_decay=0.05,
            gradient_clip=1.0,
            validate_every=500,
        ),
        "pretrain": StageRecipe(
            steps=2000,
            batch_size=16,
            shapes=CropShapes(256, 256),
            learning_rate=2e-3,
            final_learning_rate=2e-5,
            trained="all",
            crop=96,
            warmup=100,
            weight_decay=1e-3,
            gradient_clip=1.0,
            precision="bf16",
            routing="bf16",
            validate_every=500,
        ),
        "finetune": StageRecipe(
            steps=400,
            batch_size=16,
            shapes=CropShapes(256, 256),
            learning_rate=2e-3,
            final_learning_rate=2e-5,
            trained="experts",
            gates="router",
            crop=96,
            warmup=50,
            gradient_clip=1.0,
            tasks=2,
            precision="bf16",
            routing="bf16",
            validate_every=200,
        ),
    },
}
