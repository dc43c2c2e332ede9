"""What a run is trained and validated on: clean photographs that are degraded, or the pairs of a setting."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypedDict

from lorair.data import (
    Batch,
    Batches,
    DegradedBatches,
    PairedBatches,
    PairedValidation,
    PairFolder,
    PhotographFolder,
    ValidationPairs,
)
from lorair.model import ModelConfig
from lorair.settings import Setting, load_setting
from lorair.training.presets import RECIPES
from lorair.training.recipes import Recipe, StageRecipe, with_overrides


class DataFacts(TypedDict, total=False):
    """What a checkpoint records of its data."""

    photographs: int
    validation_photographs: int
    setting: str
    pairs: int
    validation_pairs: int


class ValidationSet(Protocol):
    """Batches of one image, the same ones at every call."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Batch: ...

    def __iter__(self) -> Iterator[Batch]: ...


class TrainingData(Protocol):
    """Where batches come from, and what they ask of model and recipe; their labels are the model's experts in order."""

    @property
    def facts(self) -> DataFacts:
        """What a checkpoint records of its data, as plain data."""
        ...

    def config(self, preset: ModelConfig) -> ModelConfig:
        """The preset with one expert for each label."""
        ...

    def recipe(self, name: str) -> Recipe:
        """The recipe of `RECIPES` of that name, with the numbers that the data asks for."""
        ...

    def batches(self, recipe: StageRecipe, steps: int, seed: tuple[int, ...]) -> Batches:
        """Training batches of a stage."""
        ...

    def validation(self, crop: int | None) -> ValidationSet:
        """Every validation image's centre of at most `crop` pixels a side, None for the whole image."""
        ...


@dataclass(frozen=True)
class Photographs:
    """Photographs under each of the named degradations."""

    training: PhotographFolder
    validating: PhotographFolder
    degradations: tuple[str, ...]

    @classmethod
    def open(cls, training: Path, validating: Path, degradations: Sequence[str]) -> "Photographs":
        """Two folders of clean photographs. Raises ImageError where one holds none, or a file cannot be read."""
        return cls(PhotographFolder(training), PhotographFolder(validating), tuple(degradations))

    @property
    def facts(self) -> DataFacts:
        return {"photographs": len(self.training), "validation_photographs": len(self.validating)}

    def config(self, preset: ModelConfig) -> ModelConfig:
        return replace(preset, degradations=self.degradations)

    def recipe(self, name: str) -> Recipe:
        return RECIPES[name]

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


@dataclass(frozen=True)
class SettingData:
    """A setting's training sources; validation is on at most `limit` images of each of its test sources."""

    name: str
    setting: Setting
    root: Path
    limit: int

    @classmethod
    def open(cls, name: str, root: Path, limit: int = 50) -> "SettingData":
        """The setting of a name, see `load_setting`, with its data below `root`."""
        return cls(name, load_setting(name, root), root, limit)

    @cached_property
    def training(self) -> PairFolder:
        return PairFolder(self.root, self.setting.train)

    @cached_property
    def validating(self) -> PairFolder:
        return PairFolder(self.root, self.setting.test, self.limit)

    @property
    def facts(self) -> DataFacts:
        return {"setting": self.name, "pairs": len(self.training), "validation_pairs": len(self.validating)}

    def config(self, preset: ModelConfig) -> ModelConfig:
        router = replace(preset.router, top_k=self.setting.top_k)
        return replace(preset, degradations=self.setting.experts, router=router)

    def recipe(self, name: str) -> Recipe:
        return with_overrides(RECIPES[name], self.setting.overrides if name == self.setting.recipe else {})

    def batches(self, recipe: StageRecipe, steps: int, seed: tuple[int, ...]) -> PairedBatches:
        return PairedBatches(
            self.training, self.setting.experts, recipe.shapes, recipe.batch_size, steps, seed, recipe.tasks
        )

    def validation(self, crop: int | None) -> PairedValidation:
        return PairedValidation(self.validating, self.setting.experts, crop)
