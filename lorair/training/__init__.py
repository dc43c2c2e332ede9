"""Training in three stages: the router, the restorer without experts, and the experts (LoRA-IR, arXiv 2410.15385)."""

from lorair.training.data import Photographs, SettingData, TrainingData
from lorair.training.recipes import RECIPES, Recipe, StageName, StageRecipe, with_overrides
from lorair.training.run import ORDER, TrainingRun

__all__ = [
    "ORDER", "RECIPES", "Photographs", "Recipe", "SettingData", "StageName", "StageRecipe", "TrainingData",
    "TrainingRun", "with_overrides",
]  # fmt: skip
