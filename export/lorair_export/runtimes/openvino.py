"""Running a bundle's graph by OpenVINO on a CPU: `openvino:BUNDLE`, in bfloat16 `openvino-bf16:BUNDLE`."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lorair.errors import RuntimeUnavailableError
from lorair.system import resolve_device
from lorair_export.bundle import Manifest
from lorair_export.errors import ExportError
from lorair_export.extras import require
from lorair_export.graph import channels_last, save_graph
from lorair_export.runtimes.onnx_profile import PARTS
from lorair_export.runtimes.onnxruntime import OnnxRuntime, bundle_of
from lorair_export.spec import PRECISIONS
from lorair_export.tensorrt import Bound

if TYPE_CHECKING:
    import onnx

HINTS = {"openvino": "f32", "openvino-bf16": "bf16"}


class OpenVinoRuntime(OnnxRuntime):
    """A bundle's graph, run as by ONNX Runtime, and judged by the tolerance of what it computes in."""

    name = "openvino"

    def __init__(self, folder: Path, manifest: Manifest, device: str = "cpu", precision: str = "f32") -> None:
        self.inference_precision = precision
        super().__init__(folder, manifest, device)
        if precision == "bf16":
            self.computes_in = precision
            self.precision = manifest.precision if PRECISIONS[manifest.precision].eight_bit else precision
        if manifest.precision == "int8":
            self.computes_in = "int8"

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a target begins with ``openvino:`` or ``openvino-bf16:``."""
        scheme, colon, _ = target.partition(":")
        return bool(colon) and scheme in HINTS

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "OpenVinoRuntime":
        """Compile the graph for this CPU; ``auto`` is the CPU too, whatever else is there.

        Raises:
            RuntimeUnavailableError: OpenVINO is missing, another device is asked, or the CPU has no bfloat16.
            ExportError: the bundle is damaged, or an engine's.
        """
        scheme, _, path = target.partition(":")
        if device != "auto" and resolve_device(device).type != "cpu":
            raise RuntimeUnavailableError(f"{target} runs on the CPU and not on {device}; use --device cpu, or {path}")
        folder, manifest = bundle_of(path)
        graph = manifest.graphs[0]
        if not graph.file.endswith(".onnx"):
            raise ExportError(f"{path} holds an engine; name its graph: {scheme}:{folder / graph.source}")
        return cls(folder, manifest, "cpu", HINTS[scheme])

    def _session(self, model: Path, device: torch.device) -> "CompiledGraph":
        return CompiledGraph(model, self.inference_precision)


class CompiledGraph:
    """A graph compiled for the CPU, called as a session of ONNX Runtime is.

    With ``precision`` ``bf16`` the restorer computes in bfloat16 where the graph says float32. The router stays in
    float32: a gate that tips to another expert costs more than any rounding.
    """

    def __init__(self, model: Path, precision: str) -> None:
        openvino = require("openvino", "openvino")
        core = openvino.Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeUnavailableError(
                f"OpenVINO computes in bfloat16 on processors with AVX512-BF16 or AMX, and "
                f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} has neither; use openvino:{model.parent}"
            )

        def compiled(part: "onnx.ModelProto", hint: str) -> Bound:
            options = {
                "INFERENCE_PRECISION_HINT": hint,
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
            }
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                save_graph(channels_last(part), path)
                try:
                    return core.compile_model(core.read_model(path), "CPU", options)
                except RuntimeError as error:
                    reason = str(error).strip().splitlines()[-1].strip()
                    raise RuntimeUnavailableError(
                        f"OpenVINO cannot run {model}: {reason}; try {model.parent}"
                    ) from error

        graph = require("onnx").load(model)
        parts = [(graph, "f32")] if precision == "f32" else parts_of(graph, precision)
        self.steps = [compiled(part, hint) for part, hint in parts]

    def run(self, names: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The named outputs; requests of its own, so that threads may call at once."""
        known = dict(feeds)
        for step in self.steps:
            found = step.create_infer_request().infer({port.any_name: known[port.any_name] for port in step.inputs})
            known |= {port.any_name: found[port] for port in step.outputs}
        return [known[name] for name in names]


def parts_of(model: "onnx.ModelProto", precision: str) -> list[tuple["onnx.ModelProto", str]]:
    """The graphs to run in turn, and what each computes in: a graph that routes inside is cut where its router ends.

    Nodes belong to the part that their name begins with, ``router/`` or ``restorer/``.
    """
    nodes = {part: [node for node in model.graph.node if node.name.startswith(f"{part}/")] for part in PARTS}
    if not nodes["router"] or not nodes["restorer"]:
        return [(model, "f32" if nodes["router"] else precision)]
    routed = {name for node in nodes["router"] for name in node.output}
    taken = sorted(routed.intersection(name for node in nodes["restorer"] for name in node.input))
    images, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    extractor = require("onnx").utils.Extractor(model)
    router = extractor.extract_model(images, sorted({*taken, *routed.intersection(outputs)}))
    restorer = extractor.extract_model([*images, *taken], [name for name in outputs if name not in routed])
    return [(router, "f32"), (restorer, precision)]
