"""Training in three stages: the router, the restorer without experts, and the experts (LoRA-IR, arXiv 2410.15385)."""

from lorair.training.recipes import RECIPES, Recipe, StageName, StageRecipe
from lorair.training.run import ORDER, TrainingRun

__all__ = ["ORDER", "RECIPES", "Recipe", "StageName", "StageRecipe", "TrainingRun"]
