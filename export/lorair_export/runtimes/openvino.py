"""Running a bundle's graphs by OpenVINO on a CPU: `openvino:BUNDLE`, in bfloat16 `openvino-bf16:BUNDLE`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from lorair.errors import RuntimeUnavailableError
from lorair.system import resolve_device
from lorair_export.bundle import Graph, Manifest
from lorair_export.errors import ExportError
from lorair_export.runtimes.bundle_runtime import BundleRuntime
from lorair_export.runtimes.onnx_bundle import onnx_bundle
from lorair_export.runtimes.openvino_graph import CompiledGraph, Hint
from lorair_export.spec import PRECISIONS

HINTS: Final[Mapping[str, Hint]] = {"openvino": "f32", "openvino-bf16": "bf16"}


class OpenVinoRuntime(BundleRuntime):
    """A bundle's graphs, judged by the tolerance of what they compute in."""

    name = "openvino"

    def __init__(self, folder: Path, manifest: Manifest, hint: Hint = "f32") -> None:
        super().__init__(manifest)
        eight_bit = bool(PRECISIONS[manifest.precision].eight_bit)
        if hint == "bf16" and not eight_bit:
            self.precision = "bf16"
        in_int8 = manifest.precision == "int8"
        self.computes_in = "int8" if in_int8 else "bf16" if hint == "bf16" else "fp32"
        self.compiled = {graph.name: CompiledGraph(folder / graph.file, hint) for graph in manifest.graphs}

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a target begins with `openvino:` or `openvino-bf16:`."""
        scheme, colon, _ = target.partition(":")
        return bool(colon) and scheme in HINTS

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "OpenVinoRuntime":
        """Compile the graphs for this CPU; `auto` is the CPU too, even where torch sees a GPU.

        Raises:
            RuntimeUnavailableError: OpenVINO is missing, another device is asked for, or the CPU has no bfloat16.
            ExportError: the bundle is damaged, or an engine's.
        """
        scheme, _, path = target.partition(":")
        if device != "auto" and resolve_device(device).type != "cpu":
            raise RuntimeUnavailableError(f"{target} runs on the CPU and not on {device}; use --device cpu, or {path}")
        folder, manifest = onnx_bundle(path)
        graph = manifest.graphs[0]
        if not graph.file.endswith(".onnx"):
            raise ExportError(f"{path} holds an engine; name its graph: {scheme}:{folder / graph.source}")
        return cls(folder, manifest, HINTS[scheme])

    def run(self, graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = [output.name for output in graph.outputs]
        values = self.compiled[graph.name].run(names, {name: tensor.cpu().numpy() for name, tensor in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}
