"""Do experts help, and does the router matter? A small experiment on photographs, a network from scratch per seed.

python examples/experiment.py PHOTOS/train PHOTOS/val

The router is the default model's, frozen. Each seed pre-trains the default model's restorer from random weights without
experts, then fine-tunes it twice for as many steps: its experts alone, by the router's gates, and all else without
experts. The experts are measured under the router's gates and under others; the prior is always the router's.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import torch
from rich.progress import track

import lorair
from lorair.data import CropShapes, PhotographFolder, ValidationPairs, loaded
from lorair.images import psnr
from lorair.training import ORDER, RECIPES, STAGES, Photographs, Recipe, StageName, StageRecipe

Figures = dict[str, list[float]]

CROP = 256
COLUMNS = (
    "input", "pre-trained", "fine-tuned without experts", "fine-tuned experts", "right gates", "uniform gates",
    "random gates",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("val", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pretrain-steps", type=int, default=600)
    parser.add_argument("--finetune-steps", type=int, default=200)
    asked = parser.parse_args()
    data = Photographs(PhotographFolder(asked.train), PhotographFolder(asked.val), lorair.load().degradations)
    recipe = small_recipe(asked.pretrain_steps, asked.finetune_steps)
    print(table([figures_of(data, recipe, seed) for seed in range(asked.seeds)]))


def small_recipe(pretrain_steps: int, finetune_steps: int) -> Recipe:
    """The recipe of the default model with fewer steps of fewer, smaller crops."""
    smaller = {"batch_size": 8, "shapes": CropShapes(192, 192), "crop": 64, "warmup": 30}
    tiny = RECIPES["tiny"]
    pretrain = replace(tiny["pretrain"], steps=pretrain_steps, **smaller)
    finetune = replace(tiny["finetune"], steps=finetune_steps, **smaller)
    return {"pretrain": pretrain, "finetune": finetune}


def figures_of(data: Photographs, recipe: Recipe, seed: int) -> Figures:
    """One seed's mean PSNR in dB by degradation and column."""
    pretrained = lorair.load()
    torch.manual_seed(seed)
    pretrained.restorer.load_state_dict(lorair.LoRAIR(pretrained.config).restorer.state_dict())
    train(pretrained, "pretrain", recipe["pretrain"], data, seed)
    experts, without = deepcopy(pretrained), deepcopy(pretrained)
    train(experts, "finetune", recipe["finetune"], data, seed)
    train(without, "finetune", replace(recipe["finetune"], trained="all", gates="none"), data, seed)
    return measured(pretrained, without, experts, data.validation(CROP))


def train(model: lorair.LoRAIR, stage: StageName, recipe: StageRecipe, data: Photographs, seed: int) -> None:
    """A stage as `lorair train` does it, without validation."""
    parameters = STAGES[stage].trained(model.requires_grad_(False), recipe)
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.AdamW(parameters, betas=recipe.betas, weight_decay=recipe.weight_decay)
    batches = loaded(data.batches(recipe, recipe.steps, (seed, ORDER.index(stage))), 0, workers=1)
    for step, batch in enumerate(track(batches, f"{stage}, seed {seed}", total=recipe.steps)):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate_at(step)
        optimizer.zero_grad()
        STAGES[stage].loss(model, batch, recipe).backward()
        torch.nn.utils.clip_grad_norm_(parameters, recipe.gradient_clip or torch.inf)
        optimizer.step()


@torch.inference_mode()
def measured(
    pretrained: lorair.LoRAIR, without: lorair.LoRAIR, experts: lorair.LoRAIR, pairs: ValidationPairs
) -> Figures:
    drawing = torch.Generator().manual_seed(0)
    count = len(pairs.degradations)
    none, every = torch.zeros(1, count), torch.eye(count)
    values: defaultdict[str, list[list[float]]] = defaultdict(list)
    for degraded, clean, label in pairs:
        routing = experts.route(degraded)
        forms = (
            (pretrained, none),
            (without, none),
            (experts, routing.gates),
            (experts, every[label]),
            (experts, torch.full((1, count), 1 / count)),
            (experts, every[torch.randint(count, (1,), generator=drawing)]),
        )
        restored = (model.restorer(degraded, routing.prior, gates) for model, gates in forms)
        values[pairs.degradations[int(label)]].append(
            [float(psnr(image, clean, rounded=True)) for image in (degraded, *restored)]
        )
    means = {name: [fmean(column) for column in zip(*rows, strict=True)] for name, rows in values.items()}
    return means | {"average": [fmean(column) for column in zip(*means.values(), strict=True)]}


def table(runs: Sequence[Figures]) -> str:
    """Means over seeds, with the deviation between them."""
    lines = [f"| degradation | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in runs[0]:
        columns = zip(*(run[name] for run in runs), strict=True)
        lines.append(f"| {name} | " + " | ".join(_spread(column) for column in columns) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(set(values)) > 1 else "")


if __name__ == "__main__":
    main()
