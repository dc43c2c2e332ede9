"""LoRAIR: the router and the restorer together."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorair.errors import UnknownDegradationError
from lorair.model.config import ModelConfig
from lorair.model.restorer import Backend, Restorer
from lorair.model.router import Router, Routing, pinned_routing


@dataclass(frozen=True)
class Descriptor:
    """Properties of a model that a caller needs.

    Images of any size are padded to `size_multiple` and cropped back. The channel attention averages over
    `local_window` pixels, None for the whole image: with smaller tiles the outputs differ from those of the whole
    image.
    """

    degradations: tuple[str, ...]
    size_multiple: int
    dtypes: tuple[str, ...]
    local_window: int | None
    parameters: int


class LoRAIR(nn.Module):
    """Restores images whose degradation is unknown (LoRA-IR, arXiv 2410.15385).

    `mean_priors` [E, P] holds the mean prior of each degradation, for images whose degradation is named by
    the caller; None where the checkpoint has none. `backend` is the restorer's.
    """

    mean_priors: Tensor | None

    def __init__(self, config: ModelConfig, backend: Backend = "auto") -> None:
        super().__init__()
        self.config = config
        experts = len(config.degradations)
        self.router = Router(config.router, experts)
        self.restorer = Restorer(config.restorer, config.router.prior_dim, experts, config.router.top_k, backend)
        self.register_buffer("mean_priors", None)

    @property
    def degradations(self) -> tuple[str, ...]:
        return self.config.degradations

    @property
    def descriptor(self) -> Descriptor:
        restorer = self.config.restorer
        return Descriptor(
            degradations=self.degradations,
            size_multiple=restorer.size_multiple,
            dtypes=("float32", "bfloat16"),
            local_window=restorer.local_window,
            parameters=sum(p.numel() for p in self.parameters()),
        )

    def route(self, images: Tensor) -> Routing:
        """Gates and prior of images `[B, 3, H, W]` in [0, 1], once per image."""
        return self.router(images)

    def pin(self, degradation: str, batch: int = 1) -> Routing:
        """The routing of `batch` images whose degradation is named; no router pass.

        Raises:
            ValueError: the name is unknown, or the checkpoint carries no mean priors.
        """
        if degradation not in self.degradations:
            raise UnknownDegradationError(degradation, self.degradations)
        if self.mean_priors is None:
            raise ValueError(
                "this checkpoint carries no mean priors, so a degradation cannot be named; "
                "convert it again with --priors-from a folder of example images per degradation"
            )
        return pinned_routing(self.degradations.index(degradation), self.mean_priors, batch)

    def forward(self, images: Tensor, degradation: str | None = None) -> Tensor:
        """Restore images of any size.

        Args:
            images: `[B, 3, H, W]` floating, in [0, 1].
            degradation: a name of `degradations` for all of them, or None to route each image.

        Returns:
            `[B, 3, H, W]` in [0, 1].
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"images must be floating [B, 3, H, W] in [0, 1]; got {images.dtype} {tuple(images.shape)} "
                "(lorair.restore takes 8- and 16-bit arrays)"
            )
        routing = self.route(images) if degradation is None else self.pin(degradation, len(images))
        return self.restorer(images, routing.prior, routing.gates).clamp(0, 1)

    def extra_repr(self) -> str:
        top_k, backend = self.config.router.top_k, self.restorer.backend
        return f"degradations={self.degradations}, top_k={top_k}, backend={backend!r}"

    @property
    def device(self) -> torch.device:
        return self.router.head.weight.device
