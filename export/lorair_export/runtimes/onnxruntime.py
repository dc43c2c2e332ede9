"""Running a bundle's graphs by ONNX Runtime, on a CPU or an NVIDIA GPU."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lorair.errors import RuntimeUnavailableError
from lorair.system import resolve_device
from lorair_export.bundle import Graph, Manifest, named_runtime, read_bundle
from lorair_export.errors import ExportError
from lorair_export.extras import require
from lorair_export.graph import cpu_session, opened_session
from lorair_export.runtimes.bundle_runtime import BundleRuntime
from lorair_export.spec import PRECISIONS

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger(__name__)

# onnxruntime's InferenceSession, or what is called as one.
Session = Any


class OnnxRuntime(BundleRuntime):
    """A bundle's graphs in one session each.

    They compute in float32 on a CPU (measured on x86), and everywhere in 8 bits (see ``graph_session``).
    """

    name = "onnx"

    def __init__(self, folder: Path, manifest: Manifest, device: str = "auto") -> None:
        super().__init__(manifest)
        resolved = resolve_device(device)
        if resolved.type == "cpu" or PRECISIONS[self.precision].eight_bit:
            self.computes_in = "fp32"
        self.sessions = {graph.name: self._session(folder / graph.file, resolved) for graph in manifest.graphs}

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a target is a bundle of ONNX graphs, or a graph in a bundle."""
        path = Path(target)
        return path.suffix == ".onnx" or named_runtime(path) == "onnx"

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "OnnxRuntime":
        """Load the graphs; a file ``*.onnx`` stands for its bundle, also where engines were built from its graphs.

        Raises:
            RuntimeUnavailableError: ONNX Runtime is missing, or does not get the device.
            ExportError: the bundle is damaged, or a graph has no manifest beside it that names it.
        """
        return cls(*bundle_of(target), device)

    def _session(self, model: Path, device: torch.device) -> Session:
        if device.type == "cpu" and self.precision == "bf16":
            logger.warning("ONNX Runtime's CPU has no bfloat16 convolution: computing in float32, results rounded")
        return session_of(model, device, self.precision)

    def run(self, graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = [output.name for output in graph.outputs]
        values = self.sessions[graph.name].run(names, {name: tensor.cpu().numpy() for name, tensor in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}


def bundle_of(target: str) -> tuple[Path, Manifest]:
    """Folder and manifest of a bundle; a file ``*.onnx`` stands for its bundle's graphs, also beside their engines.

    ExportError where it is damaged, or the file is none of its graphs.
    """
    path = Path(target)
    if path.suffix != ".onnx":
        return path, read_bundle(path)
    manifest = read_bundle(path.parent)
    graphs = tuple(replace(graph, file=graph.source or graph.file, source="") for graph in manifest.graphs)
    if path.name not in [graph.file for graph in graphs]:
        raise ExportError(f"{path}: no graph of the bundle; its graphs are {[graph.file for graph in graphs]}")
    return path.parent, replace(manifest, graphs=graphs)


def session_of(model: Path, device: torch.device, precision: str, profile: str = "") -> "onnxruntime.InferenceSession":
    """A session of a bundle's graph; ``profile`` is that of :func:`lorair_export.graph.session.session_options`.

    Raises:
        ExportError: ONNX Runtime refuses the graph.
        RuntimeUnavailableError: it does not get the device.
    """
    if device.type == "cpu" and precision == "bf16":
        return cpu_session(require("onnx").load(model), profile=profile)
    if device.type == "cpu":
        return opened_session(model, str(model), profile=profile)
    ort = require("onnxruntime")
    # An exhaustive search for each convolution would be repeated for every new image size.
    cuda = {"device_id": device.index or 0, "cudnn_conv_algo_search": "HEURISTIC"}
    session = opened_session(model, str(model), "CUDAExecutionProvider", cuda, profile)
    if "CUDAExecutionProvider" not in session.get_providers():
        raise RuntimeUnavailableError(
            f"ONNX Runtime {ort.__version__} did not get {device}: install onnxruntime-gpu and the CUDA and cuDNN "
            "versions that it names, or use --device cpu"
        )
    return session
