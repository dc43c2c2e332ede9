"""The restorer of one expert: its weights merged as constants, the plain network's operations and no more."""

from typing import cast

import torch
from torch import Tensor, nn

from lorair.model import ExpertConv2d, LayerNorm2d, LoRAIR, Modulation, RestorationNet
from lorair_export.graph.lowering import in_precision, static_net
from lorair_export.graph.modules import plain_conv2d, replace_modules


class PlainRestorer(nn.Module):
    """Any batch of one degradation: images [B, 3, H, W], prior [B, P] -> restored, in [0, 1]."""

    def __init__(self, net: RestorationNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor, prior: Tensor) -> Tensor:
        return self.net(images, prior).clamp(0, 1)


class PinnedModulation(nn.Module):
    """A modulation whose prior is known: its strength is a constant per channel, and goes into the norm's affine."""

    def __init__(self, modulation: Modulation, prior: Tensor) -> None:
        super().__init__()
        self.norm: LayerNorm2d = modulation.norm
        factor = (modulation.beta * modulation.strength(prior)).flatten()
        self.norm.weight.mul_(factor)
        self.norm.bias.mul_(factor)

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        return x + self.norm(x)


class PinnedRestorer(nn.Module):
    """Any batch of one degradation and one prior: images [B, 3, H, W] -> restored, in [0, 1]."""

    def __init__(self, net: RestorationNet, prior: Tensor) -> None:
        super().__init__()
        self.net = net
        embedded = net.prior_head(prior[None, :, None, None])
        replace_modules(net, Modulation, lambda modulation: PinnedModulation(modulation, embedded))
        net.prior_head = nn.Sequential()

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images, images.new_zeros(1, 1)).clamp(0, 1)


@torch.no_grad()
def plain_restorer(
    model: LoRAIR, degradation: str, max_size: int, dtype: torch.dtype = torch.float32, *, pinned: bool = False
) -> nn.Module:
    """The restorer of one degradation: (images, prior) -> restored, or images -> restored where it is pinned.

    Args:
        model: stays as it is; it has mean priors where `pinned`.
        degradation: one of the model's.
        max_size, dtype: as `lorair_export.graph.lowering.lowered_restorer` takes them.
        pinned: fold in the degradation's mean prior, too.
    """
    net = static_net(model, max_size)
    expert = model.degradations.index(degradation)
    gates = torch.eye(len(model.degradations), device=model.device)[expert]
    replace_modules(net, ExpertConv2d, lambda conv: _merged(conv, gates))
    if not pinned:
        return in_precision(PlainRestorer(net), dtype)
    return in_precision(PinnedRestorer(net, cast("Tensor", model.mean_priors)[expert]), dtype)


def _merged(conv: ExpertConv2d, gates: Tensor) -> nn.Conv2d:
    plain = plain_conv2d(conv.merged_weight(gates), conv.groups, conv.stride[0], int(conv.padding[0]))
    plain.bias = conv.bias
    return plain
