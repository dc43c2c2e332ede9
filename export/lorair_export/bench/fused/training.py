"""A step of fine-tuning the experts: by the fused kernels, by torch, and in the published form."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from lorair_kernels.benchmarks import Case, Form, Work
from torch import Tensor

from lorair.checkpoints import restorer_name
from lorair.model import FusedRestorer, ModelConfig
from lorair_export.bench.fused.cases import published_restorer
from lorair_export.bench.fused.work import restorer_work
from lorair_export.bench.published import published_params
from lorair_export.bench.random_restorer import random_restorer

# Relative L2 error of the gradients; float32 multiplies in TF32.
TOLERANCE = 2e-2
BFLOAT16_TOLERANCE = 1e-1


def training_case(config: ModelConfig, device: str, size: int = 256, batch: int = 8) -> Case:
    """A mixed batch forward and the gradients of all factors backward; the base is frozen."""
    config = replace(config, restorer=replace(config.restorer, local_window=None))
    restorer = random_restorer(config).to(device).requires_grad_(False)
    params = published_params(restorer.net)
    factors = [name for name in params if "lora_" in name]
    own = dict(restorer.net.named_parameters())
    ours = [own[restorer_name(name)].requires_grad_() for name in factors]
    theirs = {name: tensor.detach().clone().requires_grad_(name in factors) for name, tensor in params.items()}
    published = published_restorer(config, theirs).requires_grad_(False).to(device)
    experts = len(config.degradations)
    gates = torch.eye(experts, device=device)[torch.arange(batch, device=device) % experts]
    prior = torch.randn(batch, config.router.prior_dim, device=device)
    arguments = (*torch.rand(2, batch, 3, size, size, device=device).unbind(), prior, gates)
    step = _step(restorer, ours)

    def exact() -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return step(*arguments)

    fused = FusedRestorer(restorer.net, one_hot=True)
    forms = {
        "torch, merged per gate vector": Form(step, arguments, TOLERANCE),
        "fused, bfloat16": Form(_step(fused, ours, torch.bfloat16), arguments, BFLOAT16_TOLERANCE),
        "published": Form(_step(published, [theirs[name] for name in factors]), arguments, TOLERANCE),
    }
    # Each convolution is one product forward and two backward, in its input and in its weight; the factors' are small.
    forward = restorer_work(config.restorer, size, batch, min(batch, experts), 4)
    work = tuple(Work(3 * launch.bytes, 3 * launch.flops) for launch in forward)
    return Case("fine-tuning step", f"{batch}x3x{size}x{size}", torch.float32, work, forms, exact)


def _step(
    restorer: Callable[..., Tensor], factors: list[Tensor], autocast: torch.dtype | None = None
) -> Callable[..., Tensor]:
    """Degraded and clean images, prior and gates -> the gradients of all factors, flattened and concatenated."""

    def step(degraded: Tensor, clean: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        with torch.enable_grad():
            with torch.autocast(degraded.device.type, autocast, enabled=autocast is not None):
                restored = restorer(degraded, prior, gates)
            gradients = torch.autograd.grad(F.mse_loss(restored.float(), clean), factors)
        return torch.cat([gradient.flatten() for gradient in gradients])

    return step
