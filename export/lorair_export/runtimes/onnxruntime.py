"""Running a bundle's graphs by ONNX Runtime, on a CPU or an NVIDIA GPU."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lorair.errors import RuntimeUnavailableError
from lorair.system import resolve_device
from lorair_export.bundle import Graph, Manifest, named_runtime
from lorair_export.extras import require
from lorair_export.graph import cpu_session, opened_session
from lorair_export.runtimes.bundle_runtime import BundleRuntime
from lorair_export.runtimes.onnx_bundle import onnx_bundle
from lorair_export.spec import PRECISIONS

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger(__name__)


class OnnxRuntime(BundleRuntime):
    """A bundle's graphs in one session each.

    They compute in float32 on a CPU (measured on x86), graphs in 8 bits on every device (see `session_options`).
    """

    name = "onnx"

    def __init__(self, folder: Path, manifest: Manifest, device: str = "auto") -> None:
        super().__init__(manifest)
        resolved = resolve_device(device)
        if resolved.type == "cpu" or PRECISIONS[self.precision].eight_bit:
            self.computes_in = "fp32"
        if resolved.type == "cpu" and self.precision == "bf16":
            logger.warning("ONNX Runtime's CPU has no bfloat16 convolution: computing in float32, results rounded")
        self.sessions = {
            graph.name: session_of(folder / graph.file, resolved, self.precision) for graph in manifest.graphs
        }

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a target is a bundle of ONNX graphs, or a graph in a bundle."""
        path = Path(target)
        return path.suffix == ".onnx" or named_runtime(path) == "onnx"

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "OnnxRuntime":
        """Load the graphs; see `onnx_bundle` for targets.

        Raises:
            RuntimeUnavailableError: ONNX Runtime is missing, or cannot use the device.
            ExportError: the bundle is damaged, or a graph has no manifest in its folder that names it.
        """
        return cls(*onnx_bundle(target), device)

    def run(self, graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = [output.name for output in graph.outputs]
        values = self.sessions[graph.name].run(names, {name: tensor.cpu().numpy() for name, tensor in inputs.items()})
        return {name: torch.from_numpy(np.asarray(value)) for name, value in zip(names, values, strict=True)}


def session_of(model: Path, device: torch.device, precision: str, profile: str = "") -> "onnxruntime.InferenceSession":
    """A session of a bundle's graph; `profile` is that of `lorair_export.graph.session.session_options`.

    Raises:
        ExportError: ONNX Runtime rejects the graph.
        RuntimeUnavailableError: it cannot use the device.
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
            f"ONNX Runtime {ort.__version__} cannot use {device}: install onnxruntime-gpu and the CUDA and cuDNN "
            "versions that it names, or use --device cpu"
        )
    return session
