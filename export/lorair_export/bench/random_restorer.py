"""A restorer to time where no trained weights are needed."""

import torch
from torch import Tensor

from lorair.model import ModelConfig, Restorer


def random_restorer(config: ModelConfig) -> Restorer:
    """A restorer with random weights, channels_last, none of whose experts or residual branches is neutral.

    Freshly made ones are: their LoRA factors `b` and their residual scales start at zero, so a wrong form of the
    experts would go unnoticed. The weights are the same at every call.
    """
    torch.manual_seed(0)
    restorer = Restorer(config.restorer, config.router.prior_dim, len(config.degradations)).eval()
    with torch.no_grad():
        for name, parameter in restorer.named_parameters():
            if name.endswith((".beta", ".gamma")):
                parameter.fill_(0.1)
            elif name.endswith(".b"):
                parameter.normal_(0, 0.02)
    return restorer.to(memory_format=torch.channels_last)


def mixed_logits(batch: int, experts: int) -> Tensor:
    """Gate logits [batch, experts] by which image i goes to expert i modulo `experts`."""
    return torch.eye(experts)[torch.arange(batch) % experts]
