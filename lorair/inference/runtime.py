"""One restoring interface for every runtime; runtimes are entry points, of this package and of those above."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from lorair.model import Routing

GROUP = "lorair.runtimes"


@runtime_checkable
class Runtime(Protocol):
    """A loaded model and what runs it.

    `size_range` is the smallest and largest side in pixels that the artefact takes, None for any.
    """

    name: str
    degradations: tuple[str, ...]
    size_range: tuple[int, int] | None

    def route(self, images: Tensor) -> Routing | None:
        """Gates and prior of images `[B, 3, H, W]` float32 in [0, 1]; None where the artefact routes inside."""
        ...

    def pin(self, degradation: str, batch: int) -> Routing:
        """The routing of images whose degradation is named; ValueError where the artefact does not support it."""
        ...

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        """Images `[B, 3, H, W]` float32 in [0, 1] -> (restored alike, gates [B, E]); no routing: route here."""
        ...


def open_runtime(target: str, device: str = "auto") -> Runtime:
    """Open a model by its name: a checkpoint, a bundle folder, or a server's address.

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
