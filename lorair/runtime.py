"""One restoring interface for every runtime: torch here, others by entry points of the packages above."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from lorair.checkpoint import DEFAULT, load
from lorair.model import LoRAIR
from lorair.router import Routing

GROUP = "lorair.runtimes"


@runtime_checkable
class Runtime(Protocol):
    """A loaded model, whatever runs it.

    ``size_range`` is the smallest and largest side in pixels that the artefact takes, None for any.
    """

    name: str
    degradations: tuple[str, ...]
    size_range: tuple[int, int] | None

    def route(self, images: Tensor) -> Routing | None:
        """Gates and prior of images ``[B, 3, H, W]`` float32 in [0, 1]; None where the artefact routes inside."""
        ...

    def pin(self, degradation: str, batch: int) -> Routing:
        """The routing of images whose degradation is named; ValueError where the artefact cannot."""
        ...

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        """Images ``[B, 3, H, W]`` float32 in [0, 1] -> (restored alike, gates [B, E]); no routing: route here."""
        ...


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
    def open(cls, target: str, device: str = "auto") -> "TorchRuntime":
        return cls(load(target, device=device))

    @torch.inference_mode()
    def route(self, images: Tensor) -> Routing:
        return self.model.route(images.to(self.model.device))

    def pin(self, degradation: str, batch: int) -> Routing:
        return self.model.pin(degradation, batch)

    @torch.inference_mode()
    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        images = images.to(self.model.device)
        routing = routing or self.model.route(images)
        restored = self.model.restorer(images, routing.prior, routing.gates)
        return restored.clamp(0, 1).cpu(), routing.gates.cpu()


def open_runtime(target: str, device: str = "auto") -> Runtime:
    """Load what the user names: a checkpoint, a bundle folder, or a server's address.

    Raises:
        ValueError: no installed runtime takes the target.
        RuntimeUnavailableError: the runtime's packages or device are missing.
    """
    for entry in entry_points(group=GROUP):
        runtime = entry.load()
        if runtime.accepts(target):
            return runtime.open(target, device)
    if not Path(target).exists():
        raise ValueError(f"{target}: no such model; name a .pt or .safetensors checkpoint or a bundle folder")
    raise ValueError(f"{target}: neither a checkpoint (.pt, .safetensors) nor a bundle folder with a manifest.json")
