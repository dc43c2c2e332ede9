"""The named recipes, as plain data."""

from collections.abc import Mapping
from typing import Final

from lorair.data import CropShapes
from lorair.training.recipes import Recipe, StageRecipe

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
