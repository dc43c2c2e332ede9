"""The three stages: which parameters each trains, and its loss."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop

from lorair.data import Batch
from lorair.model import ExpertConv2d, LoRAIR, Routing, router_views
from lorair.training.recipes import Precision, StageName, StageRecipe


@dataclass(frozen=True)
class Stage:
    """A stage's name, the network that does its work, its trained parameters, and the scalar loss of a batch."""

    name: StageName
    network: Callable[[LoRAIR], nn.Module]
    trained: Callable[[LoRAIR, StageRecipe], list[nn.Parameter]]
    loss: Callable[[LoRAIR, Batch, StageRecipe], Tensor]


def psnr_loss(restored: Tensor, clean: Tensor) -> Tensor:
    """Negative PSNR in dB averaged over images, 10 / ln 10 * ln(mse + 1e-8) (NAFNet, arXiv 2204.04676).

    Both are float [B, 3, H, W] with a data range of 1.
    """
    mse = (restored.float() - clean).square().mean(dim=(1, 2, 3))
    return 10 / math.log(10) * torch.log(mse + 1e-8).mean()


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which a network computes in a precision."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=precision != "fp32")


def _router_parameters(model: LoRAIR, recipe: StageRecipe) -> list[nn.Parameter]:
    frozen = set() if recipe.trained == "all" else set(model.router.tower.parameters())
    return [parameter for parameter in model.router.parameters() if parameter not in frozen]


def _plain_parameters(model: LoRAIR, _recipe: StageRecipe) -> list[nn.Parameter]:
    experts = set(_experts(model))
    return [parameter for parameter in model.restorer.parameters() if parameter not in experts]


def _expert_parameters(model: LoRAIR, recipe: StageRecipe) -> list[nn.Parameter]:
    return list(model.restorer.parameters()) if recipe.trained == "all" else _experts(model)


def _experts(model: LoRAIR) -> list[nn.Parameter]:
    convolutions = (module for module in model.restorer.modules() if isinstance(module, ExpertConv2d))
    return [factor for conv in convolutions for factor in (conv.a, conv.b)]


def _tower(model: LoRAIR) -> nn.Module:
    return model.router.tower


def _restorer(model: LoRAIR) -> nn.Module:
    return model.restorer.net


def _router_loss(model: LoRAIR, batch: Batch, recipe: StageRecipe) -> Tensor:
    gate_logits = _route(model, batch.degraded, recipe.precision).gate_logits
    assert gate_logits is not None
    return F.cross_entropy(gate_logits.float(), batch.labels)


def _restoring_loss(model: LoRAIR, batch: Batch, recipe: StageRecipe) -> Tensor:
    with torch.no_grad():
        routing = _route(model, batch.degraded, recipe.routing)
    gates = torch.zeros_like(routing.gates) if recipe.gates == "none" else routing.gates
    degraded, clean = batch.degraded, batch.clean
    if recipe.crop is not None:
        degraded, clean = (center_crop(images, [recipe.crop]) for images in (degraded, clean))
    with autocast(gates.device, recipe.precision):
        restored = model.restorer(degraded, routing.prior, gates)
    return psnr_loss(restored, clean)


def _route(model: LoRAIR, images: Tensor, precision: Precision) -> Routing:
    """Autocast begins after the views: their resizing counts in 256 levels, which bfloat16 cannot hold."""
    views = router_views(images, model.router.image_size)
    with autocast(views.device, precision):
        return model.router.route_views(views)


STAGES: Final[Mapping[StageName, Stage]] = {
    "router": Stage("router", _tower, _router_parameters, _router_loss),
    "pretrain": Stage("pretrain", _restorer, _plain_parameters, _restoring_loss),
    "finetune": Stage("finetune", _restorer, _expert_parameters, _restoring_loss),
}
