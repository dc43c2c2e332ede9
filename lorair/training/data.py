"""What a run is trained and validated on: clean photographs that are degraded, or the pairs of a setting."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from lorair.data import (
    Batches,
    DegradedBatches,
    PairedBatches,
    PairedValidation,
    PairFolder,
    PhotographFolder,
    ValidationPairs,
)
from lorair.settings import Setting
from lorair.training.recipes import StageRecipe


class TrainingData(Protocol):
    """Where batches come from; their labels are the model's experts in order."""

    def batches(self, recipe: StageRecipe, steps: int, seed: tuple[int, ...]) -> Batches:
        """Training batches of a stage."""
        ...

    def validation(self, crop: int | None) -> ValidationPairs | PairedValidation:
        """Batches of one image, the same at every call: its centre of at most `crop` pixels a side, None for all."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint tells of its data, as plain data."""
        ...


@dataclass(frozen=True)
class Photographs:
    """Photographs under each of the named degradations."""

    training: PhotographFolder
    validating: PhotographFolder
    degradations: tuple[str, ...]

    def batches(self, recipe: StageRecipe, steps: int, seed: tuple[int, ...]) -> DegradedBatches:
        return DegradedBatches(
            self.training,
            self.degradations,
            recipe.shapes,
            recipe.batch_size,
            steps,
            seed,
            recipe.tasks,
            recipe.gamma,
        )

    def validation(self, crop: int | None) -> ValidationPairs:
        return ValidationPairs(self.validating, self.degradations, crop)

    @property
    def facts(self) -> dict[str, Any]:
        return {"photographs": len(self.training), "validation_photographs": len(self.validating)}


@dataclass(frozen=True)
class SettingData:
    """A setting's training sources; validation is on at most `limit` images of each of its test sources."""

    name: str
    setting: Setting
    root: Path
    limit: int

    @cached_property
    def training(self) -> PairFolder:
        return PairFolder(self.root, self.setting.train)

    @cached_property
    def validating(self) -> PairFolder:
        return PairFolder(self.root, self.setting.test, self.limit)

    def batches(self, recipe: StageRecipe, steps: int, seed: tuple[int, ...]) -> PairedBatches:
        return PairedBatches(
            self.training, self.setting.experts, recipe.shapes, recipe.batch_size, steps, seed, recipe.tasks
        )

    def validation(self, crop: int | None) -> PairedValidation:
        return PairedValidation(self.validating, self.setting.experts, crop)

    @property
    def facts(self) -> dict[str, Any]:
        return {"setting": self.name, "pairs": len(self.training), "validation_pairs": len(self.validating)}
