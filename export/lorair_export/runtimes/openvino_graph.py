"""A graph compiled by OpenVINO for the CPU, its router and its restorer each in a precision of its own."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lorair.errors import RuntimeUnavailableError
from lorair_export.extras import require
from lorair_export.graph import channels_last, save_graph
from lorair_export.runtimes.onnx_bundle import PARTS

if TYPE_CHECKING:
    import onnx
    import openvino

Hint = Literal["f32", "bf16"]


class CompiledGraph:
    """A graph compiled for the CPU.

    With the hint `bf16` the restorer computes in bfloat16 where the graph says float32. The router stays in
    float32: a gate that tips to another expert costs more than any rounding.

    RuntimeUnavailableError where OpenVINO is missing or rejects the graph, or the CPU has no bfloat16.
    """

    def __init__(self, model: Path, hint: Hint) -> None:
        core: openvino.Core = require("openvino", "openvino").Core()
        if hint == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeUnavailableError(
                f"OpenVINO computes in bfloat16 on processors with AVX512-BF16 or AMX, and "
                f"{core.get_property('CPU', 'FULL_DEVICE_NAME')} has neither; use openvino:{model.parent}"
            )
        graph: onnx.ModelProto = require("onnx").load(model)
        parts: list[tuple[onnx.ModelProto, Hint]] = [(graph, "f32")] if hint == "f32" else parts_of(graph)
        try:
            self.compiled = [_compiled(core, part, precision) for part, precision in parts]
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise RuntimeUnavailableError(f"OpenVINO cannot run {model}: {reason}; try {model.parent}") from error

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The named outputs for inputs by name, in requests of its own, so that threads may call at once."""
        known = dict(feeds)
        for part in self.compiled:
            found = part.create_infer_request().infer({port.any_name: known[port.any_name] for port in part.inputs})
            known |= {port.any_name: np.asarray(found[port]) for port in part.outputs}
        return [known[name] for name in names]


def _compiled(core: "openvino.Core", graph: "onnx.ModelProto", hint: Hint) -> "openvino.CompiledModel":
    options = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save_graph(channels_last(graph), path)
        return core.compile_model(core.read_model(path), "CPU", options)


def parts_of(model: "onnx.ModelProto") -> list[tuple["onnx.ModelProto", Hint]]:
    """The graphs to run in turn with a restorer in bfloat16: a graph that routes inside is cut where its router ends.

    Nodes belong to the part that their name begins with, `router/` or `restorer/`.
    """
    nodes = {part: [node for node in model.graph.node if node.name.startswith(f"{part}/")] for part in PARTS}
    if not nodes["router"] or not nodes["restorer"]:
        return [(model, "f32" if nodes["router"] else "bf16")]
    routed = {name for node in nodes["router"] for name in node.output}
    taken = sorted(routed.intersection(name for node in nodes["restorer"] for name in node.input))
    images, outputs = ([value.name for value in values] for values in (model.graph.input, model.graph.output))
    extractor = require("onnx").utils.Extractor(model)
    router = extractor.extract_model(images, sorted({*taken, *routed.intersection(outputs)}))
    restorer = extractor.extract_model([*images, *taken], [name for name in outputs if name not in routed])
    return [(router, "f32"), (restorer, "bf16")]
