"""What the experts cost: the restorer beside the plain network and beside the published form, in one run."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from lorair.model import ModelConfig, Restorer, gates_from_logits
from lorair_export.bench.published import PublishedRestorer, published_params
from lorair_export.errors import ParityError

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Cost:
    """Median seconds of one call per form, keyed by batch size; the routing of a batch is mixed, top-1."""

    experts: dict[int, float]
    plain: dict[int, float]
    published: dict[int, float]


def random_restorer(config: ModelConfig) -> Restorer:
    """A restorer with random weights whose experts and residual branches are not at their neutral start."""
    torch.manual_seed(0)
    restorer = Restorer(config.restorer, config.router.prior_dim, len(config.degradations)).eval()
    with torch.no_grad():
        for name, parameter in restorer.named_parameters():
            if name.endswith((".beta", ".gamma")):
                parameter.fill_(0.1)
            elif name.endswith(".b"):
                parameter.normal_(0, 0.02)
    return restorer.to(memory_format=torch.channels_last)


def experts_cost(config: ModelConfig, size: int, batches: tuple[int, ...], rounds: int) -> Cost:
    """Time the forms one call each in turn, after their outputs agreed.

    The published form is the official code's computation in float32 NCHW: at batch 1 each convolution merges its
    experts at every call, above it runs E+1 convolutions. The plain network is the restorer with all gates zero.
    ParityError where the outputs differ by more than 1e-4.
    """
    restorer = random_restorer(config)
    restorer.cache_size = len(config.degradations) + 1
    params = {name: tensor.contiguous() for name, tensor in published_params(restorer.net).items()}
    published = PublishedRestorer(params, config.restorer, config.router.top_k)
    cost = Cost({}, {}, {})
    for batch in batches:
        images, prior = torch.rand(batch, 3, size, size), torch.randn(batch, config.router.prior_dim)
        gate_logits = torch.eye(len(config.degradations))[torch.arange(batch) % len(config.degradations)]
        gates = gates_from_logits(gate_logits, config.router.top_k)
        forms: dict[str, Callable[[], Tensor]] = {
            "experts": lambda x=images, p=prior, g=gates: restorer(x, p, g),
            "plain": lambda x=images, p=prior, g=gates: restorer(x, p, torch.zeros_like(g)),
            "published": lambda x=images, p=prior, g=gate_logits: published(x, p, g),
        }
        with torch.inference_mode():
            difference = float((forms["experts"]() - forms["published"]()).abs().max())
            if difference > TOLERANCE:
                raise ParityError(f"batch {batch}: the forms differ by {difference:.1e}; no time is worth showing")
            seconds = median_seconds(forms, rounds)
        for name, by_batch in vars(cost).items():
            by_batch[batch] = seconds[name]
    return cost


def median_seconds(forms: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median over rounds that call each form in turn, after one call of each."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(rounds + 1):
        for name, form in forms.items():
            started = time.perf_counter()
            form()
            if turn > 0:
                seconds[name].append(time.perf_counter() - started)
    return {name: median(values) for name, values in seconds.items()}
