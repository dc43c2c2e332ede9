"""The manifest of graphs that were just exported."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

import lorair
from lorair.model import LoRAIR
from lorair_export.bundle import Graph, Manifest, TensorSpec, file_sha256
from lorair_export.extras import require
from lorair_export.graph import ROUTER_SIZES
from lorair_export.runtimes import OnnxRuntime
from lorair_export.spec import ROUTER, GraphSpec, RoutingForm, graph_names

if TYPE_CHECKING:
    import onnx


def manifest_from_graphs(model: LoRAIR, checkpoint_sha256: str, folder: Path, spec: GraphSpec) -> Manifest:
    """The manifest of a folder that holds a model's graphs and nothing else; they are not compared yet."""
    onnx, onnxruntime = require("onnx"), require("onnxruntime")
    inside, priors = spec.routing is RoutingForm.GRAPH, model.mean_priors
    return Manifest(
        runtime=OnnxRuntime.name,
        graphs=tuple(_graph(folder / f"{name}.onnx", spec) for name in graph_names(spec.routing, model.degradations)),
        files={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
        versions={
            "lorair": lorair.__version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        checkpoint=checkpoint_sha256,
        lowering=spec.lowering.value,
        precision=spec.precision,
        opset=spec.opset,
        max_batch=spec.max_batch,
        degradations=model.degradations,
        local_window=model.config.restorer.local_window,
        routing=spec.routing,
        pinned=spec.pinned,
        mean_priors=() if inside or priors is None else tuple(map(tuple, priors.tolist())),
    )


def _graph(path: Path, spec: GraphSpec) -> Graph:
    graph = require("onnx").load(path, load_external_data=False).graph
    inputs, outputs = (tuple(map(_tensor_spec, values)) for values in (graph.input, graph.output))
    return Graph(path.stem, path.name, inputs, outputs, ROUTER_SIZES if path.stem == ROUTER else spec.size_range)


def _tensor_spec(value: "onnx.ValueInfoProto") -> TensorSpec:
    tensor = value.type.tensor_type
    dtype = require("onnx").helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(value.name, dtype, tuple(size.dim_param or size.dim_value for size in tensor.shape.dim))
