"""Running a bundle's TensorRT engines, with torch holding their tensors on the GPU."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lorair.errors import RuntimeUnavailableError
from lorair.system import resolve_device
from lorair_export.bundle import Graph, Manifest, named_runtime, read_bundle
from lorair_export.runtimes.bundle_runtime import BundleRuntime
from lorair_export.tensorrt import Flavour, LoadedEngine, find_tensorrt


class EngineRuntime(BundleRuntime):
    """A bundle's engines."""

    name = "tensorrt"

    def __init__(self, folder: Path, manifest: Manifest, flavour: Flavour, device: torch.device) -> None:
        super().__init__(manifest)
        self.engines = {graph.name: LoadedEngine(folder, graph, manifest, flavour, device) for graph in manifest.graphs}

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a bundle's manifest names an engine as what to run."""
        return named_runtime(Path(target)) == cls.name

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "EngineRuntime":
        """Load the engines onto a GPU.

        Raises:
            RuntimeUnavailableError: no GPU, no TensorRT of the engine's flavour, or another GPU or version.
            ExportError: the bundle is damaged.
        """
        manifest = read_bundle(Path(target))
        resolved = resolve_device(device)
        if resolved.type != "cuda":
            raise RuntimeUnavailableError(
                f"{target} holds a TensorRT engine, which runs on an NVIDIA GPU and not on {resolved}; "
                f"name its graph instead: {Path(target) / manifest.graphs[0].source}"
            )
        return cls(Path(target), manifest, find_tensorrt(manifest.engine_record.flavour), resolved)

    def run(self, graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.engines[graph.name].run(inputs)
