"""A checkpoint as a bundle: the graphs, proof that they are right, and what to know about them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import lorair
from lorair.checkpoints import checkpoint_path, load
from lorair.inference import TorchRuntime
from lorair.model import LoRAIR
from lorair_export.bundle import (
    Graph,
    Manifest,
    TensorSpec,
    check,
    compare,
    file_sha256,
    new_bundle,
    refuse_existing,
    write_manifest,
)
from lorair_export.extras import require
from lorair_export.graph import ROUTER_SIZES, check_form, onnx_from_model
from lorair_export.quantization import Calibration, in_precision
from lorair_export.runtimes import OnnxRuntime
from lorair_export.spec import ROUTER, GraphSpec, RoutingForm, graph_names

if TYPE_CHECKING:
    import onnx


def bundle_from_checkpoint(
    checkpoint: str | Path,
    target: Path,
    spec: GraphSpec,
    photographs: Sequence[Path],
    *,
    overwrite: bool = False,
    clip_weights: Path | None = None,
    calibration: Calibration | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Write a folder with the graphs and their manifest, if they restore what the checkpoint restores.

    Args:
        checkpoint: as :func:`lorair.load` takes it.
        target: the folder to make.
        spec: what graphs to make.
        photographs: what both restore on the CPU for comparison; with none the bundle goes unchecked.
        overwrite: replace a bundle that exists.
        clip_weights: local file of the CLIP weights that the checkpoint refers to.
        calibration: how to quantise where the precision is of 8 bits; None for the package's photographs.
        on_step: told what begins.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ValueError: the model does not allow the form of routing or the lowering, or the calibration is wrong.
        ExportError: the target exists, or a graph cannot be made in the precision.
        ParityError: the bundle restores something else; nothing is left behind.
    """
    refuse_existing(target, overwrite)
    on_step("loading the checkpoint")
    model = load(checkpoint, "cpu", clip_weights)
    check_form(model, spec)
    with new_bundle(target, overwrite) as folder:
        for name in graph_names(spec.routing, model.degradations):
            on_step(f"exporting {name}.onnx")
            onnx_from_model(model, folder / f"{name}.onnx", spec, name)
        manifest = graph_manifest(model, checkpoint, folder, spec)
        on_step(f"making sure of {spec.precision}")
        manifest = in_precision(folder, manifest, calibration or Calibration())
        if photographs:
            on_step("comparing with the checkpoint")
            runtime = OnnxRuntime(folder, manifest, "cpu")
            records = compare(
                TorchRuntime(model), runtime, photographs, min(2, spec.max_batch), spec.pinned, spec.shape
            )
            check(records, spec.precision, spec.io)
            manifest = replace(manifest, parity=tuple(records))
        write_manifest(folder, manifest)
    return manifest


def graph_manifest(model: LoRAIR, checkpoint: str | Path, folder: Path, spec: GraphSpec) -> Manifest:
    """The manifest of a folder that holds a model's graphs and nothing else, its parity unchecked."""
    onnx, onnxruntime = require("onnx"), require("onnxruntime")
    inside, priors = spec.routing is RoutingForm.GRAPH, model.mean_priors
    source = checkpoint_path(checkpoint)
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
        checkpoint=file_sha256(source),
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
