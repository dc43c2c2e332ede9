"""Scores of a model on validation pairs, and the mean prior of each degradation, over all processes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torchvision.transforms.functional import center_crop
from torchvision.utils import make_grid

from lorair.data import Batch
from lorair.images import psnr
from lorair.model import LoRAIR
from lorair.training.data import ValidationSet
from lorair.training.processes import SINGLE, Processes

GRID_ROWS: Final = 6


@dataclass(frozen=True)
class Quality:
    """Means over validation images of one degradation: PSNR in dB, router accuracy in [0, 1]."""

    input_psnr: float
    plain_psnr: float
    expert_psnr: float
    accuracy: float


@dataclass(frozen=True)
class Validation:
    """Scores by degradation, higher is better, what they are, and a picture, float32 [3, H, W] in [0, 1]."""

    scores: Mapping[str, float]
    what: str = "PSNR in dB"
    grid: Tensor | None = None

    @property
    def mean(self) -> float:
        return sum(self.scores.values()) / len(self.scores)


class Means:
    """Means of figures over the images of each expert."""

    def __init__(self, experts: int, figures: int) -> None:
        self._sums = torch.zeros(experts, figures, dtype=torch.float64)
        self._counts = torch.zeros(experts, 1, dtype=torch.float64)

    def add(self, labels: Tensor, figures: Tensor) -> None:
        """Count images of `labels` int64 [B] with their figures [B, F]."""
        self._sums.index_add_(0, labels.cpu(), figures.double().cpu())
        self._counts.index_add_(0, labels.cpu(), torch.ones(len(labels), 1, dtype=torch.float64))

    def over(self, processes: Processes) -> dict[int, Tensor]:
        """The means over all processes' images, float64 [F] by label; a label without images is absent."""
        sums, counts = processes.sum(self._sums), processes.sum(self._counts)
        return {label: sums[label] / counts[label] for label in counts[:, 0].nonzero()[:, 0].tolist()}


def router_accuracy(model: LoRAIR, pairs: Iterable[Batch], processes: Processes = SINGLE) -> dict[str, float]:
    """Share of images whose largest gate is the degradation's own, by degradation."""
    means = Means(len(model.degradations), 1)
    with torch.inference_mode():
        for degraded, _, labels in pairs:
            means.add(labels, (_guesses(model.route(degraded.to(model.device)).gates) == labels)[:, None])
    return {name: accuracy for name, [accuracy] in _named(model, means.over(processes))}


def restored_psnr(
    model: LoRAIR, pairs: Iterable[Batch], experts: bool, processes: Processes = SINGLE
) -> dict[str, float]:
    """Mean PSNR in dB by degradation, routed by the model; without experts the gates are zero."""
    means = Means(len(model.degradations), 1)
    with torch.inference_mode():
        for degraded, clean, labels in pairs:
            images = degraded.to(model.device)
            routing = model.route(images)
            gates = routing.gates if experts else torch.zeros_like(routing.gates)
            means.add(labels, psnr(model.restorer(images, routing.prior, gates).cpu(), clean, rounded=True)[:, None])
    return {name: value for name, [value] in _named(model, means.over(processes))}


def quality(model: LoRAIR, pairs: Iterable[Batch], processes: Processes = SINGLE) -> dict[str, Quality]:
    """All that is measured of a model, by degradation; each image is routed once."""
    means = Means(len(model.degradations), 4)
    with torch.inference_mode():
        for degraded, clean, labels in pairs:
            images = degraded.to(model.device)
            routing = model.route(images)
            gates = (torch.zeros_like(routing.gates), routing.gates)
            restored = [model.restorer(images, routing.prior, each).cpu() for each in gates]
            hits = (_guesses(routing.gates) == labels).double()
            means.add(
                labels, torch.stack([*(psnr(each, clean, rounded=True) for each in (degraded, *restored)), hits], dim=1)
            )
    return {name: Quality(*figures) for name, figures in _named(model, means.over(processes))}


def sample_grid(model: LoRAIR, pairs: ValidationSet, experts: bool) -> Tensor:
    """Some pairs, evenly spaced, as rows of degraded, restored and clean: float32 [3, H, W] in [0, 1]."""
    count = len(pairs)
    images: list[Tensor] = []
    with torch.inference_mode():
        for index in range(0, count, max(1, count // GRID_ROWS))[:GRID_ROWS]:
            degraded, clean, _ = pairs[index]
            routing = model.route(degraded.to(model.device))
            gates = routing.gates if experts else torch.zeros_like(routing.gates)
            restored = model.restorer(degraded.to(model.device), routing.prior, gates).clamp(0, 1).cpu()
            images += [degraded[0], restored[0], clean[0]]
    height, width = (min(sides) for sides in zip(*(image.shape[1:] for image in images), strict=True))
    return make_grid([center_crop(image, [height, width]) for image in images], nrow=3)


def mean_priors(model: LoRAIR, batches: Iterable[Batch], processes: Processes = SINGLE) -> Tensor:
    """The router's prior averaged over the images of each degradation, float32 [E, P] on the CPU.

    Raises ValueError where a degradation of the model is absent from the batches.
    """
    means = Means(len(model.degradations), model.config.router.prior_dim)
    with torch.inference_mode():
        for degraded, _, labels in batches:
            means.add(labels, model.route(degraded.to(model.device)).prior)
    priors = means.over(processes)
    if missing := [name for label, name in enumerate(model.degradations) if label not in priors]:
        raise ValueError(f"no images of {', '.join(missing)} to take a mean prior of")
    return torch.stack([priors[label] for label in range(len(priors))]).float()


def _guesses(gates: Tensor) -> Tensor:
    return gates.argmax(dim=1).cpu()


def _named(model: LoRAIR, means: Mapping[int, Tensor]) -> Iterator[tuple[str, list[float]]]:
    return ((model.degradations[label], figures.tolist()) for label, figures in means.items())
