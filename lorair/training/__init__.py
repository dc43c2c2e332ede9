"""Training in three stages: the router, the restorer without experts, and the experts (LoRA-IR, arXiv 2410.15385)."""

from lorair.training.data import Photographs, SettingData, TrainingData
from lorair.training.priors import priors_of_folders
from lorair.training.recipes import RECIPES, Recipe, StageName, StageRecipe, with_overrides
from lorair.training.run import ORDER, TrainingRun
from lorair.training.stages import STAGES, psnr_loss

__all__ = [
    "ORDER", "RECIPES", "STAGES", "Photographs", "Recipe", "SettingData", "StageName", "StageRecipe", "TrainingData",
    "TrainingRun", "priors_of_folders", "psnr_loss", "with_overrides",
]  # fmt: skip
