"""The runtime that is torch itself."""

from pathlib import Path

import torch
from torch import Tensor

from lorair.checkpoint import DEFAULT, load
from lorair.model import LoRAIR
from lorair.router import Routing


def images_together(batch: Tensor) -> int:
    """How many images of a batch to compute at once: on a CPU one, which takes no longer, and whose result is then
    the same to the last bit in whatever company."""
    return 1 if batch.device.type == "cpu" else len(batch)


class TorchRuntime:
    """A LoRAIR model run by torch, without gradients."""

    name = "torch"
    size_range: tuple[int, int] | None = None

    def __init__(self, model: LoRAIR) -> None:
        self.model = model.eval()
        self.degradations = model.degradations

    @classmethod
    def accepts(cls, target: str) -> bool:
        return target == DEFAULT or Path(target).suffix in {".pt", ".safetensors"}

    @classmethod
    def open(cls, target: str, device: str = "auto", clip_weights: Path | None = None) -> "TorchRuntime":
        return cls(load(target, device, clip_weights))

    @torch.inference_mode()
    def route(self, images: Tensor) -> Routing:
        return self.model.route(images.to(self.model.device))

    def pin(self, degradation: str, batch: int) -> Routing:
        return self.model.pin(degradation, batch)

    @torch.inference_mode()
    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        images = images.to(self.model.device)
        routing = routing or self.model.route(images)
        together = images_together(images)
        parts = zip(*(t.split(together) for t in (images, routing.prior, routing.gates)), strict=True)
        restored = torch.cat([self.model.restorer(*part) for part in parts])
        return restored.clamp(0, 1).cpu(), routing.gates.cpu()
