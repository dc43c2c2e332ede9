"""What a model achieves on validation pairs, and the mean prior of each degradation."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from lorair.data import Batch
from lorair.metrics import psnr
from lorair.model import LoRAIR


@dataclass(frozen=True)
class Quality:
    """Means over validation images of one degradation: PSNR in dB, router accuracy in [0, 1]."""

    input_psnr: float
    plain_psnr: float
    expert_psnr: float
    accuracy: float


def router_accuracy(model: LoRAIR, pairs: Iterable[Batch]) -> dict[str, float]:
    """Share of images whose largest gate is the degradation's own, by degradation."""
    hits: defaultdict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        for degraded, _, labels in pairs:
            guesses = model.route(degraded.to(model.device)).gates.argmax(dim=1).cpu()
            for label, guess in zip(labels.tolist(), guesses.tolist(), strict=True):
                hits[model.degradations[label]].append(float(label == guess))
    return {name: fmean(values) for name, values in hits.items()}


def restored_psnr(model: LoRAIR, pairs: Iterable[Batch], experts: bool) -> dict[str, float]:
    """Mean PSNR in dB by degradation, routed by the model; without experts the gates are zero."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    with torch.inference_mode():
        for degraded, clean, labels in pairs:
            routing = model.route(degraded.to(model.device))
            gates = routing.gates if experts else torch.zeros_like(routing.gates)
            restored = model.restorer(degraded.to(model.device), routing.prior, gates).cpu()
            for label, value in zip(labels.tolist(), psnr(restored, clean).tolist(), strict=True):
                values[model.degradations[label]].append(value)
    return {name: fmean(items) for name, items in values.items()}


def quality(model: LoRAIR, pairs: Iterable[Batch]) -> dict[str, Quality]:
    """All that is measured of a model, by degradation; each image is routed once."""
    values: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
    with torch.inference_mode():
        for degraded, clean, labels in pairs:
            images = degraded.to(model.device)
            routing = model.route(images)
            gates = (torch.zeros_like(routing.gates), routing.gates)
            restored = [model.restorer(images, routing.prior, each).cpu() for each in gates]
            hits = (routing.gates.argmax(dim=1).cpu() == labels).double()
            figures = torch.stack([*(psnr(each, clean) for each in (degraded, *restored)), hits], dim=1)
            for label, row in zip(labels.tolist(), figures.tolist(), strict=True):
                values[model.degradations[label]].append(row)
    return {name: Quality(*(fmean(column) for column in zip(*rows, strict=True))) for name, rows in values.items()}


def mean_priors(model: LoRAIR, batches: Iterable[Batch]) -> Tensor:
    """The router's prior averaged over the images of each degradation, [E, P].

    Raises ValueError where a degradation of the model is absent from the batches.
    """
    experts = len(model.degradations)
    sums = torch.zeros(experts, model.config.router.prior_dim, device=model.device)
    counts = torch.zeros(experts, device=model.device)
    with torch.inference_mode():
        for degraded, _, labels in batches:
            labels = labels.to(model.device)
            sums.index_add_(0, labels, model.route(degraded.to(model.device)).prior)
            counts += torch.bincount(labels, minlength=experts)
    if missing := [name for name, count in zip(model.degradations, counts, strict=True) if count == 0]:
        raise ValueError(f"no images of {', '.join(missing)} to take a mean prior of")
    return sums / counts[:, None]
