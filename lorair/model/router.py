"""The router: a frozen CLIP tower and a small head that classify the degradation of an image."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorair.model.config import RouterConfig
from lorair.model.experts import gates_from_logits
from lorair.model.tower import Tower

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class Routing(NamedTuple):
    """Which experts a batch uses; `gate_logits` is None where a degradation was named instead of routed."""

    gate_logits: Tensor | None
    gates: Tensor
    prior: Tensor


def bicubic_weights(size_in: int, size_out: int, device: torch.device) -> Tensor:
    """Pillow's antialiased bicubic filter (a = -0.5) along one axis, as a float32 matrix [size_out, size_in].

    Distances are whole numbers until one last division, so that float32 holds them exactly for images of up to
    12,000 pixels a side, also inside an exported graph.
    """
    to = 2 * torch.arange(size_out, device=device)[:, None] + 1
    of = 2 * torch.arange(size_in, device=device)[None, :] + 1
    distance = (of * size_out - to * size_in).abs().float() / (2 * max(size_in, size_out))
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
    return weights / weights.sum(1, keepdim=True)


def resize_bicubic(images: Tensor, size: int) -> Tensor:
    """Resize [B, 3, H, W] whole levels 0..255 to [B, 3, size, size] as Pillow does with 8-bit images.

    Columns first, then rows, rounded and clipped to whole levels after each; the aspect ratio is not kept.
    Recent Pillow picks the cheaper order by size; a static graph needs one, the one of the published runs.
    """
    columns = bicubic_weights(images.shape[-1], size, images.device)
    rows = bicubic_weights(images.shape[-2], size, images.device)
    images = (images @ columns.T + 0.5).floor().clamp(0, 255)
    return (rows @ images + 0.5).floor().clamp(0, 255)


def router_views(images: Tensor, size: int) -> Tensor:
    """The five views that the tower sees, normalised for CLIP.

    View 0 is the whole image at `size`; views 1-4 are the quarters, row by row, of the image at twice that
    size. Pixels are truncated to 8 bits first, as published.

    Args:
        images: `[B, 3, H, W]` floating, in [0, 1].
        size: the tower's input side.

    Returns:
        `[B, 5, 3, size, size]` float32.
    """
    levels = (images.float().clamp(0, 1) * 255).floor()
    whole = resize_bicubic(levels, size)
    double = resize_bicubic(levels, 2 * size)
    quarters = [double[..., i : i + size, j : j + size] for i in (0, size) for j in (0, size)]
    mean = images.new_tensor(CLIP_MEAN, dtype=torch.float32)[:, None, None]
    std = images.new_tensor(CLIP_STD, dtype=torch.float32)[:, None, None]
    return (torch.stack([whole, *quarters], dim=1) / 255 - mean) / std


class Router(nn.Module):
    """Five CLIP views -> e = concat(view 0, mean of the quarters) -> prior -> gate logits (LoRA-IR)."""

    def __init__(self, config: RouterConfig, experts: int) -> None:
        super().__init__()
        embed = config.tower.embed_dim
        self.image_size = config.tower.image_size
        self.top_k = config.top_k
        self.tower = Tower(config.tower)
        self.extractor = nn.Sequential(
            nn.Linear(2 * embed, embed), nn.GELU(), nn.Linear(embed, config.prior_dim), nn.GELU()
        )
        self.head = nn.Linear(config.prior_dim, experts)

    def forward(self, images: Tensor) -> Routing:
        """Route images `[B, 3, H, W]` in [0, 1] -> gate_logits [B, E], gates [B, E], prior [B, P]."""
        views = router_views(images, self.image_size)
        return self.route_views(views)

    def route_views(self, views: Tensor) -> Routing:
        """Route the views of `router_views`, `[B, 5, 3, S, S]`."""
        batch = views.shape[0]
        dtype = self.head.weight.dtype
        embedded = self.tower(views.flatten(0, 1).to(dtype)).unflatten(0, (batch, 5))
        e = torch.cat([embedded[:, 0], embedded[:, 1:].mean(1)], dim=-1)
        prior = self.extractor(e)
        gate_logits = self.head(prior)
        return Routing(gate_logits, gates_from_logits(gate_logits, self.top_k), prior)


def pinned_routing(index: int, mean_priors: Tensor, batch: int) -> Routing:
    """A named degradation instead of the router: its gate is 1, its prior the mean one of `mean_priors` [E, P]."""
    gates = F.one_hot(torch.tensor([index], device=mean_priors.device), len(mean_priors)).to(mean_priors.dtype)
    return Routing(None, gates.expand(batch, -1), mean_priors[index].expand(batch, -1))
