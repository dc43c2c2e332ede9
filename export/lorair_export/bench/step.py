"""Benchmark: run time of one step of fine-tuning the experts, with merged weights and in the published form, on a CPU.

    python -m lorair_export.bench.step --preset lorair-64 --size 128

The router is left out. Each image of a batch has its own top-1 expert. Times are printed only after the gradients
agreed.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lorair.model import PRESETS, ModelConfig, gates_from_logits
from lorair.training import psnr_loss
from lorair_export.bench.published import PublishedRestorer, published_params
from lorair_export.bench.random_restorer import mixed_logits, random_restorer
from lorair_export.bench.timing import machine_line, median_seconds
from lorair_export.errors import ParityError

TOLERANCE: Final = 1e-3


@dataclass(frozen=True)
class StepTimes:
    """Median seconds of a step; `gradient_error` is the largest difference of a gradient between the two forms,
    relative to the largest entry of its tensor."""

    merged: float
    published: float
    gradient_error: float


def step_times(config: ModelConfig, size: int, batch: int, rounds: int) -> StepTimes:
    """Compare the gradients of two forms of one restorer, then time their steps in turn.

    A step trains the experts' factors only: forward, backward and AdamW on `batch` square images. `merged` is
    ours; `published` runs E+1 convolutions in float32 NCHW.

    Raises:
        ParityError: `gradient_error` is above 1e-3.
    """
    restorer = random_restorer(config).requires_grad_(False)
    ours = published_params(restorer.net, keep_vars=True)
    theirs = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in ours.items()}
    published = PublishedRestorer(theirs, config.restorer, config.router.top_k).requires_grad_(False)
    factors = [name for name in ours if name.endswith(("lora_A_list", "lora_B_list"))]

    clean = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    images = (clean + 0.1 * torch.randn_like(clean)).clamp(0, 1)
    prior = torch.randn(batch, config.router.prior_dim)
    gate_logits = mixed_logits(batch, len(config.degradations))
    gates = gates_from_logits(gate_logits, config.router.top_k)
    contiguous = images.contiguous()
    steps = {
        "merged": _step(lambda: restorer(images, prior, gates), clean, [ours[name] for name in factors]),
        "published": _step(
            lambda: published(contiguous, prior, gate_logits), clean, [theirs[name] for name in factors]
        ),
    }
    for step in steps.values():
        step()
    error = max(_difference(ours[name].grad, theirs[name].grad) for name in factors)
    if not error <= TOLERANCE:
        raise ParityError(f"gradients differ by {error:.1e} of the largest, more than {TOLERANCE:g}")
    return StepTimes(**median_seconds(steps, rounds), gradient_error=error)


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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m lorair_export.bench.step", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--preset", choices=sorted(PRESETS), default="lorair-64", help="model, with random weights")
    parser.add_argument("--size", type=int, default=128, help="side of the square images in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images of a step")
    parser.add_argument("--rounds", type=int, default=3, help="timed steps of each form")
    given = parser.parse_args(arguments)
    times = step_times(PRESETS[given.preset], given.size, given.batch, given.rounds)
    size = f"{given.batch}x3x{given.size}x{given.size}"
    table = Table(title=f"{given.preset}, {size}, float32, seconds per step (median of {given.rounds})")
    for heading in ("merged", "published", "published / merged", "gradients differ"):
        table.add_column(heading, justify="right")
    ratio = f"{times.published / times.merged:.1f}"
    table.add_row(f"{times.merged:.3f}", f"{times.published:.3f}", ratio, f"{times.gradient_error:.0e}")
    Console().print(table, machine_line(), sep="\n", highlight=False)


if __name__ == "__main__":
    main()
