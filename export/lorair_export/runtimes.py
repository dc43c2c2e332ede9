"""Running a bundle's graph by ONNX Runtime, on a CPU or an NVIDIA GPU."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lorair.device import resolve_device
from lorair.errors import RuntimeUnavailableError
from lorair.router import Routing
from lorair_export.extras import require
from lorair_export.manifest import Manifest, named_runtime, read_bundle

if TYPE_CHECKING:
    import onnxruntime


class OnnxRuntime:
    """A bundle's graph; router and restorer in one, so nothing can be routed or pinned apart from it.

    A batch beyond the graph's largest runs in parts, image by image where the graph takes one.
    """

    name = "onnx"
    size_range: tuple[int, int] | None

    def __init__(self, folder: Path, manifest: Manifest, device: str = "auto") -> None:
        self.manifest = manifest
        self.degradations = manifest.degradations
        self.size_range = manifest.size_range
        self.precision = manifest.precision
        self.session = _session(folder / manifest.model, resolve_device(device))

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a target is a bundle of a graph, or the graph in it."""
        path = Path(target)
        return path.suffix == ".onnx" or named_runtime(path) == "onnx"

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "OnnxRuntime":
        """Load the graph.

        Raises:
            RuntimeUnavailableError: ONNX Runtime is missing, or does not get the device.
            ExportError: the bundle is damaged, or a graph has no manifest beside it.
        """
        path = Path(target)
        if path.suffix == ".onnx":
            return cls(path.parent, replace(read_bundle(path.parent), model=path.name), device)
        return cls(path, read_bundle(path), device)

    def route(self, images: Tensor) -> Routing | None:
        return None

    def pin(self, degradation: str, batch: int) -> Routing:
        raise ValueError(
            f"degradation {degradation!r} cannot be named for an ONNX graph: it routes inside; use the checkpoint"
        )

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        """See :class:`lorair.runtime.Runtime`; ValueError for a routing, or images that the graph does not take."""
        if routing is not None:
            raise ValueError("an ONNX graph routes inside and takes no routing; pass None")
        _check(images, self.manifest.size_range)
        parts = [self._run(part) for part in images.cpu().contiguous().split(self.manifest.max_batch)]
        return torch.cat([restored for restored, _ in parts]), torch.cat([gates for _, gates in parts])

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        restored, gates = self.session.run(["restored", "gates"], {"image": images.numpy()})
        return torch.from_numpy(restored), torch.from_numpy(gates)


def _check(images: Tensor, size_range: tuple[int, int]) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not len(images) or images.dtype != torch.float32:
        raise ValueError(f"images must be float32 [B, 3, H, W]; got {images.dtype} {tuple(images.shape)}")
    low, high = size_range
    height, width = images.shape[-2:]
    if not (low <= height <= high and low <= width <= high):
        raise ValueError(
            f"the graph takes sides of {low} to {high} pixels, got {height}x{width}; restore larger images in "
            "tiles (--tile), or export with other --min-size and --max-size"
        )


def _session(model: Path, device: torch.device) -> "onnxruntime.InferenceSession":
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    # As many threads as torch takes, so that OMP_NUM_THREADS and torch's own limit bind both. Waiting threads
    # that spin take the cores from whatever else runs here.
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device.type == "cpu":
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    # An exhaustive search for each convolution would be repeated for every new image size.
    cuda = {"device_id": device.index or 0, "cudnn_conv_algo_search": "HEURISTIC"}
    session = ort.InferenceSession(str(model), options, providers=[("CUDAExecutionProvider", cuda)])
    if "CUDAExecutionProvider" not in session.get_providers():
        raise RuntimeUnavailableError(
            f"ONNX Runtime {ort.__version__} did not get {device}: install onnxruntime-gpu and the CUDA and cuDNN "
            "versions that it names, or use --device cpu"
        )
    return session
