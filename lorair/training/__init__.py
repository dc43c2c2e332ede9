"""Training in three stages: the router, the restorer without experts, and the experts (LoRA-IR, arXiv 2410.15385)."""

from lorair.training.data import Photographs, SettingData, TrainingData
from lorair.training.presets import RECIPES
from lorair.training.priors import priors_of_folders
from lorair.training.recipes import ORDER, Recipe, RecipeChanges, StageName, StageRecipe
from lorair.training.run import TrainingRun
from lorair.training.stages import STAGES, psnr_loss
from lorair.training.train import preset_named, train

__all__ = [
    "ORDER",
    "RECIPES",
    "STAGES",
    "Photographs",
    "Recipe",
    "RecipeChanges",
    "SettingData",
    "StageName",
    "StageRecipe",
    "TrainingData",
    "TrainingRun",
    "preset_named",
    "priors_of_folders",
    "psnr_loss",
    "train",
]
