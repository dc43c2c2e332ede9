"""What a step of fine-tuning costs: the merged weights' form beside the published one, in one run."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lorair.model import ModelConfig, gates_from_logits
from lorair.training import psnr_loss
from lorair_export.bench.experts import median_seconds, random_restorer
from lorair_export.bench.published import PublishedRestorer, published_params
from lorair_export.errors import ParityError

TOLERANCE = 1e-3


@dataclass(frozen=True)
class StepCost:
    """Median seconds of a step, and how far the gradients differ, relative to the largest of each tensor."""

    merged: float
    published: float
    gradient_error: float


def step_cost(config: ModelConfig, size: int, batch: int, rounds: int) -> StepCost:
    """Time a step that trains the experts alone, forward, backward and AdamW, on a mixed batch.

    The published form runs E+1 convolutions in float32 NCHW. ParityError where the gradients differ by more than 1e-3.
    """
    restorer = random_restorer(config).requires_grad_(False)
    ours = published_params(restorer.net, keep_vars=True)
    theirs = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in ours.items()}
    published = PublishedRestorer(theirs, config.restorer, config.router.top_k).requires_grad_(False)
    factors = [name for name in ours if name.endswith(("lora_A_list", "lora_B_list"))]

    clean = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    images = (clean + 0.1 * torch.randn_like(clean)).clamp(0, 1)
    prior = torch.randn(batch, config.router.prior_dim)
    gate_logits = torch.eye(len(config.degradations))[torch.arange(batch) % len(config.degradations)]
    gates = gates_from_logits(gate_logits, config.router.top_k)
    flat = images.contiguous()
    steps = {
        "merged": _step(lambda: restorer(images, prior, gates), clean, [ours[name] for name in factors]),
        "published": _step(lambda: published(flat, prior, gate_logits), clean, [theirs[name] for name in factors]),
    }
    for step in steps.values():
        step()
    error = max(_difference(ours[name].grad, theirs[name].grad) for name in factors)
    if not error <= TOLERANCE:
        raise ParityError(f"the gradients differ by {error:.1e}; no time is worth showing")
    return StepCost(**median_seconds(steps, rounds), gradient_error=error)


def _step(restored: Callable[[], Tensor], clean: Tensor, trained: list[Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW([tensor.requires_grad_() for tensor in trained], lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        psnr_loss(restored(), clean).backward()
        optimizer.step()

    return step


def _difference(mine: Tensor | None, other: Tensor | None) -> float:
    assert mine is not None and other is not None
    return float((mine - other).abs().max() / other.abs().max().clamp(min=1e-12))
