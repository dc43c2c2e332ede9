"""Running a TensorRT engine, with torch holding its tensors on the GPU."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lorair.device import resolve_device
from lorair.errors import RuntimeUnavailableError
from lorair.router import Routing
from lorair_export.errors import ExportError
from lorair_export.flavour import Bound, Flavour, find_tensorrt, library_logger
from lorair_export.manifest import Manifest, Profile, named_runtime, read_bundle


class EngineRuntime:
    """A bundle's engine; router and restorer in one graph, so nothing can be routed or pinned apart from it.

    Images go to the first profile that takes their shape; a batch beyond the largest runs in parts.
    """

    name = "tensorrt"
    size_range: tuple[int, int] | None

    def __init__(self, folder: Path, manifest: Manifest, flavour: Flavour, device: torch.device) -> None:
        self.degradations = manifest.degradations
        self.size_range = manifest.size_range
        self.max_batch = manifest.max_batch
        self.precision = manifest.precision
        self.profiles = manifest.profiles
        self.device = device
        with torch.cuda.device(device):
            self.engine = _deserialized(folder / manifest.model, flavour)
            self.context = self.engine.create_execution_context()
        self.stream = torch.cuda.Stream(device)

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a bundle's manifest names an engine as what to run."""
        return named_runtime(Path(target)) == cls.name

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "EngineRuntime":
        """Load the engine onto a GPU.

        Raises:
            RuntimeUnavailableError: no GPU, no TensorRT of the engine's flavour, or another GPU or version.
            ExportError: the bundle is damaged.
        """
        manifest = read_bundle(Path(target))
        resolved = resolve_device(device)
        if resolved.type != "cuda":
            raise RuntimeUnavailableError(
                f"{target} holds a TensorRT engine, which runs on an NVIDIA GPU and not on {resolved}; "
                f"name its graph instead: {Path(target) / manifest.engine['graph']}"
            )
        return cls(Path(target), manifest, find_tensorrt(manifest.engine["flavour"]), resolved)

    def route(self, images: Tensor) -> Routing | None:
        return None

    def pin(self, degradation: str, batch: int) -> Routing:
        raise ValueError(
            f"degradation {degradation!r} cannot be named for an engine: it routes inside; use the checkpoint"
        )

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        """See :class:`lorair.runtime.Runtime`; ValueError for a shape that no profile takes."""
        if routing is not None:
            raise ValueError("an engine routes inside and takes no routing; pass None")
        parts = [self._restored(part) for part in images.split(self.max_batch)]
        restored, gates = zip(*parts, strict=True)
        return torch.cat(restored), torch.cat(gates)

    def _restored(self, images: Tensor) -> tuple[Tensor, Tensor]:
        profile = profile_for(self.profiles, tuple(images.shape))
        with torch.cuda.stream(self.stream):
            held = {"image": images.to(self.device, torch.float32).contiguous()}
            self.context.set_optimization_profile_async(profile, self.stream.cuda_stream)
            self.context.set_input_shape("image", tuple(images.shape))
            for name in ("restored", "gates"):
                held[name] = torch.empty(tuple(self.context.get_tensor_shape(name)), device=self.device)
            for name, tensor in held.items():
                self.context.set_tensor_address(name, tensor.data_ptr())
            if not self.context.execute_async_v3(self.stream.cuda_stream):
                raise ExportError(f"TensorRT failed on images of shape {tuple(images.shape)}")
            return held["restored"].cpu(), held["gates"].cpu()


def profile_for(profiles: Sequence[Profile], shape: tuple[int, ...]) -> int:
    """The index of the first profile whose bounds hold a shape; ValueError tells the bounds where none does."""
    for index, profile in enumerate(profiles):
        if all(low <= size <= high for low, size, high in zip(profile.min, shape, profile.max, strict=True)):
            return index
    bounds = ", ".join(f"{_text(profile.min)} to {_text(profile.max)}" for profile in profiles)
    raise ValueError(
        f"the engine takes images of {bounds}; got {_text(shape)}. Restore in tiles (--tile), or build it with "
        "other --min-shape and --max-shape"
    )


def _deserialized(plan: Path, flavour: Flavour) -> Bound:
    log = library_logger(flavour.module)
    log.clear()
    engine = flavour.module.Runtime(log).deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise RuntimeUnavailableError(
            f"{plan.name} does not load with TensorRT {flavour.version} on {torch.cuda.get_device_name()}: "
            f"{log.told() or 'no reason told'}. A plan runs on the library version it was built with, and on "
            "the GPUs it was built for; build it again here"
        )
    return engine


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
