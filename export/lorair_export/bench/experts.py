"""Benchmark: run time of the restorer with its experts, without them, and in the published form, on a CPU.

    python -m lorair_export.bench.experts --preset lorair-64 --size 256

The router is left out. Each image of a batch has its own top-1 expert. Times are printed only after the outputs agreed.
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
from lorair_export.bench.published import PublishedRestorer, published_params
from lorair_export.bench.random_restorer import mixed_logits, random_restorer
from lorair_export.bench.timing import machine_line, median_seconds
from lorair_export.errors import ParityError

TOLERANCE: Final = 1e-4


@dataclass(frozen=True)
class ExpertsTimes:
    """Median seconds of a call with `batch` images."""

    batch: int
    experts: float
    plain: float
    published: float


def experts_times(config: ModelConfig, size: int, batches: Sequence[int], rounds: int) -> list[ExpertsTimes]:
    """Compare the outputs of three forms of one restorer on square images, then time them in turn.

    `experts` is ours, with weights merged per expert; `plain` the same network with all gates zero; `published`
    the official code's computation in float32 NCHW: at batch 1 each convolution merges its experts at every call,
    above it runs E+1 convolutions.

    Raises:
        ParityError: a pixel of `experts` and `published` differs by more than 1e-4.
    """
    restorer = random_restorer(config)
    restorer.cache_size = len(config.degradations) + 1
    params = {name: tensor.contiguous() for name, tensor in published_params(restorer.net).items()}
    published = PublishedRestorer(params, config.restorer, config.router.top_k)

    def times(batch: int) -> ExpertsTimes:
        images, prior = torch.rand(batch, 3, size, size), torch.randn(batch, config.router.prior_dim)
        gate_logits = mixed_logits(batch, len(config.degradations))
        gates = gates_from_logits(gate_logits, config.router.top_k)
        forms: dict[str, Callable[[], Tensor]] = {
            "experts": lambda: restorer(images, prior, gates),
            "plain": lambda: restorer(images, prior, torch.zeros_like(gates)),
            "published": lambda: published(images, prior, gate_logits),
        }
        with torch.inference_mode():
            difference = float((forms["experts"]() - forms["published"]()).abs().max())
            if not difference <= TOLERANCE:
                raise ParityError(f"batch {batch}: outputs differ by {difference:.1e}, more than {TOLERANCE:g}")
            return ExpertsTimes(batch, **median_seconds(forms, rounds))

    return [times(batch) for batch in batches]


def table_of(rows: Sequence[ExpertsTimes], title: str) -> Table:
    table = Table(title=title)
    for heading in ("batch", "experts", "per image", "plain", "published", "experts / plain", "published / experts"):
        table.add_column(heading, justify="right")
    for row in rows:
        seconds = (row.experts, row.experts / row.batch, row.plain, row.published)
        ratios = (f"{row.experts / row.plain:.2f}", f"{row.published / row.experts:.1f}")
        table.add_row(str(row.batch), *(f"{value:.3f}" for value in seconds), *ratios)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m lorair_export.bench.experts", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--preset", choices=sorted(PRESETS), default="lorair-64", help="model, with random weights")
    parser.add_argument("--size", type=int, default=256, help="side of the square images in pixels")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4], help="images per call")
    parser.add_argument("--rounds", type=int, default=3, help="timed calls of each form")
    given = parser.parse_args(arguments)
    rows = experts_times(PRESETS[given.preset], given.size, given.batch, given.rounds)
    title = f"{given.preset}, 3x{given.size}x{given.size}, float32, seconds per call (median of {given.rounds})"
    Console().print(table_of(rows, title), machine_line(), sep="\n", highlight=False)


if __name__ == "__main__":
    main()
