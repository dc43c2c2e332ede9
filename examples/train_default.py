"""Fine-tune the default model, router and restorer together, on degradations as they occur.

python examples/train_default.py PHOTOS -o RUN --steps 4000

PHOTOS holds clean photographs; those that `lorair/weights/photographs.tsv` marks `val` are left out. Give the same
command again after an interruption, and it resumes at the newest state in RUN; a larger `--steps` trains on.
`RUN/latest.pt` is the moving average of the weights, as a checkpoint of 16-bit numbers, as the package has it.

Of the images, 15 % are clean, 25 % carry several degradations, 8 % only blur, which the model has no expert for, and
the rest one degradation each. The restorer is to bear the router's errors, so it also meets wrong gates and priors.
"""

import argparse
import csv
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import lorair
from lorair.checkpoints import checkpoint_of, model_of, read_checkpoint, write_checkpoint
from lorair.degradations import FloatImage, degrade_by, draw_mixture
from lorair.images import list_images, read_image
from lorair.model import LoRAIR
from lorair.model.router import CLIP_MEAN, CLIP_STD
from lorair.system import written_aside

CLASSES_A_BATCH, IMAGES_A_CLASS = 3, 3
CROP = 128
# Added to the squared error in the logarithm of the loss, at the first step and at the last. Without it an image weighs
# by the inverse of its error, so that nearly clean ones lead and the restorer becomes the identity: with a floor of
# 1e-5 haze was lost in 350 steps, with 2e-4 in 700.
FLOORS = (1e-3, 1e-4)
RATES = {"restorer": 1.5e-3, "router": 3e-4}
# How often a degradation is drawn: more often what takes longer to learn.
WEIGHTS = {"noise": 1.0, "rain": 1.3, "haze": 2.0, "snow": 1.0, "low_light": 1.0, "jpeg": 0.7}
WARMUP, DECAY = 50, 0.3  # steps; share of all steps


@dataclass(frozen=True)
class Sample:
    """Router views [5, 3, S, S], crops [3, CROP, CROP] before and after, and the router's target [E] of an image."""

    views: Tensor
    degraded: Tensor
    clean: Tensor
    target: Tensor


class Samples:
    """Batches that follow from the seed and the step: `IMAGES_A_CLASS` of each of `CLASSES_A_BATCH` degradations."""

    def __init__(self, folder: Path, degradations: tuple[str, ...], view_size: int, seed: int = 0) -> None:
        table = Path(__file__).parents[1] / "lorair" / "weights" / "photographs.tsv"
        with table.open(encoding="utf-8") as file:
            held_out = {row["file"] for row in csv.DictReader(file, delimiter="\t") if row["split"] == "val"}
        paths = (path for path in list_images(folder) if path.name not in held_out)
        self.photographs = [read_image(path).uint8_pixels() for path in paths]
        self.degradations, self.view_size, self.seed = degradations, view_size, seed

    def batch(self, step: int) -> tuple[list[Sample], list[int]]:
        """The samples and for each the expert that restores it."""
        rng = np.random.default_rng((self.seed, step))
        weights = np.array([WEIGHTS[name] for name in self.degradations])
        classes = rng.choice(len(weights), CLASSES_A_BATCH, replace=False, p=weights / weights.sum())
        labels = np.repeat(classes, IMAGES_A_CLASS).tolist()
        generators = rng.spawn(len(labels))
        return [self._sample(*drawn) for drawn in zip(labels, generators, strict=True)], labels

    def _sample(self, label: int, rng: np.random.Generator) -> Sample:
        name, draw = self.degradations[label], rng.random()
        kinds: tuple[str, ...] = (name,)
        if draw < 0.15:
            kinds = ()
        elif draw < 0.4:
            kinds = draw_mixture(name, (*self.degradations, "blur"), rng)
        elif draw < 0.48:
            kinds = ("blur",)
        clean = self._window(rng, strongest=1.5 if kinds else 2.5)
        degraded = degrade_by(clean, kinds, rng)
        target = torch.tensor([float(known in kinds) for known in self.degradations])
        before, after = (torch.from_numpy(_middle(image)).permute(2, 0, 1) for image in (degraded, clean))
        return Sample(views_of(degraded, self.view_size), before, after, target / target.sum().clamp(min=1))

    def _window(self, rng: np.random.Generator, strongest: float) -> FloatImage:
        """A turned part of a photograph at a random scale and exposure, its sides between 160 and 512 pixels."""
        photograph = self.photographs[int(rng.integers(len(self.photographs)))]
        if rng.random() < 0.6:
            scale = rng.uniform(0.45, 1)
            photograph = cv2.resize(photograph, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        photograph = np.rot90(photograph, int(rng.integers(4)))[:, :: 1 if rng.random() < 0.5 else -1]
        short = math.exp(rng.uniform(math.log(160), math.log(448)))
        wide = short * rng.uniform(1, 1.6)
        sides = (short, wide) if rng.random() < 0.5 else (wide, short)
        height, width = (min(round(side), full) for side, full in zip(sides, photograph.shape[:2], strict=True))
        top = int(rng.integers(photograph.shape[0] - height + 1))
        left = int(rng.integers(photograph.shape[1] - width + 1))
        window = photograph[top : top + height, left : left + width].astype(np.float32) / np.float32(255)
        return window ** np.float32(strongest ** rng.uniform(-1, 1))


def _middle(image: FloatImage) -> FloatImage:
    top, left = ((side - CROP) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + CROP, left : left + CROP])


def views_of(image: FloatImage, size: int) -> Tensor:
    """What `lorair.model.router_views` makes of one image, by Pillow, which is many times faster on a CPU."""
    picture = Image.fromarray(np.floor(image * np.float32(255)).astype(np.uint8))
    whole, double = (np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC)) for side in (size, 2 * size))
    quarters = [double[i : i + size, j : j + size] for i in (0, size) for j in (0, size)]
    views = np.stack([whole, *quarters]).astype(np.float32) / np.float32(255)
    normal = (views - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32)
    return torch.from_numpy(normal).permute(0, 3, 1, 2)


class Training:
    """The model, its optimiser and average, and the running mean prior of each degradation."""

    def __init__(self, model: LoRAIR) -> None:
        self.model, self.step = model.train(), 0
        groups = [{"params": list(getattr(model, part).parameters()), "part": part} for part in RATES]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=1e-4)
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.996))
        assert model.mean_priors is not None
        self.priors = model.mean_priors.clone()

    def learn(self, samples: list[Sample], labels: list[int], rng: np.random.Generator, steps: int) -> list[float]:
        """One step; the restored images' mean error in dB, the router's cross-entropy and its accuracy."""
        for group in self.optimizer.param_groups:
            group["lr"] = RATES[group["part"]] * share_of_rate(self.step, steps)
        views, degraded, clean, target = (
            torch.stack([getattr(sample, name) for sample in samples])
            for name in ("views", "degraded", "clean", "target")
        )
        with torch.autocast("cpu", torch.bfloat16):
            routing = self.model.router.route_views(views)
        assert routing.gate_logits is not None
        prior, logits = routing.prior.float(), routing.gate_logits.float()
        gates = F.one_hot(torch.tensor(self._gates(labels, rng)), target.shape[1]).float()
        with torch.autocast("cpu", torch.bfloat16):
            restored = self.model.restorer(
                degraded.contiguous(memory_format=torch.channels_last), self._priors(prior, labels, rng), gates
            )
        error = (restored.float() - clean).square().mean((1, 2, 3))
        decibels = 10 / math.log(10) * torch.log(error + floor_at(self.step, steps)).mean()
        entropy = -(target * F.log_softmax(logits, 1)).sum() / target.sum().clamp(min=1)
        self.optimizer.zero_grad()
        (decibels + 2 * entropy).backward()
        for group in self.optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        single = target.amax(1) == 1
        for index in single.nonzero().flatten().tolist():
            self.priors[labels[index]].lerp_(prior[index].detach(), 0.02)
        right = (logits.argmax(1) == target.argmax(1))[single].float()
        return [decibels.item(), entropy.item(), right.mean().item() if len(right) else math.nan]

    def _gates(self, labels: list[int], rng: np.random.Generator) -> list[int]:
        """The expert of each image: its own, or in one of ten another one of the batch."""
        return [int(rng.choice(labels)) if rng.random() < 0.1 else label for label in labels]

    def _priors(self, prior: Tensor, labels: list[int], rng: np.random.Generator) -> Tensor:
        """The prior of each image: its own, the mean one of its degradation, another image's, or zero."""
        other = prior.detach().roll(IMAGES_A_CLASS, 0)
        draws = rng.random(len(labels))
        rows = [
            prior[i] if d < 0.85 else self.priors[labels[i]] if d < 0.92 else other[i] if d < 0.97 else 0 * other[i]
            for i, d in enumerate(draws)
        ]
        return torch.stack(rows)

    def state(self) -> dict[str, Any]:
        parts = {"model": self.model, "optimizer": self.optimizer, "average": self.average}
        return {"step": self.step, "priors": self.priors, **{name: part.state_dict() for name, part in parts.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        for name, part in (("model", self.model), ("optimizer", self.optimizer), ("average", self.average)):
            part.load_state_dict(state[name])
        self.step, self.priors = state["step"], state["priors"]

    def save(self, folder: Path, photographs: int) -> None:
        """The state to resume from, and the averaged weights in 16 bits; each written aside, then renamed."""
        with written_aside(folder / "state.pt") as aside:
            torch.save(self.state(), aside)
        averaged = self.average.module
        assert isinstance(averaged, LoRAIR)
        averaged.mean_priors = self.priors
        facts = {"lorair": lorair.__version__, "torch": str(torch.__version__), "recipe": "examples/train_default.py"}
        facts |= {"photographs": photographs, "steps": self.step}
        write_checkpoint(folder / "latest.pt", checkpoint_of(averaged, training=facts), torch.float16)


def share_of_rate(step: int, steps: int) -> float:
    """Warm-up, a constant rate, and over the last steps a fall to zero by the square root (arXiv 2405.18392)."""
    return min((step + 1) / WARMUP, 1.0) * (1 - math.sqrt(fallen(step, steps)))


def floor_at(step: int, steps: int) -> float:
    """The first of `FLOORS`, and geometrically to the second while the rate falls."""
    return FLOORS[0] * (FLOORS[1] / FLOORS[0]) ** fallen(step, steps)


def fallen(step: int, steps: int) -> float:
    """How far a run is through its last part, in which its rate falls: 0 to 1."""
    return min(max(0.0, (step - (1 - DECAY) * steps) / (DECAY * steps)), 1.0)


def steps_left(training: Training, steps: int) -> Iterator[int]:
    while training.step < steps:
        yield training.step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    parser.add_argument("--start", default="default", help="checkpoint to start from")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--save-every", type=int, default=50)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    model = model_of(read_checkpoint(options.start))
    training = Training(model)
    if (state := options.output / "state.pt").exists():
        training.restore(torch.load(state, map_location="cpu", weights_only=True))
    samples = Samples(options.photographs, model.degradations, model.router.image_size)
    print(f"{len(samples.photographs)} photographs; from step {training.step}", flush=True)
    rows: list[list[float]] = []
    for step in steps_left(training, options.steps):
        rng = np.random.default_rng((1, step))
        rows.append(training.learn(*samples.batch(step), rng, options.steps))
        if training.step % options.save_every == 0 or training.step == options.steps:
            means = np.nanmean(rows, axis=0).round(3)
            print(time.strftime("%H:%M:%S"), training.step, *means, round(time.process_time()), flush=True)
            training.save(options.output, len(samples.photographs))
            rows = []


if __name__ == "__main__":
    main()
