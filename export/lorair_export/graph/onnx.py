"""A model as ONNX graphs: one that routes and restores, or its parts by the form of routing."""

import ast
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import lorair
from lorair.model import LoRAIR
from lorair_export.errors import ExportError
from lorair_export.extras import require
from lorair_export.graph.parts import Part, part_of
from lorair_export.spec import MODEL, GraphSpec

if TYPE_CHECKING:
    import onnx_ir

SCOPES = "pkg.torch.onnx.name_scopes"


def onnx_from_model(model: LoRAIR, path: Path, spec: GraphSpec | None = None, name: str = MODEL) -> None:
    """Write a checked ONNX file: `image` [batch, 3, height, width] -> `restored`, `gates`, by default.

    Images are as `spec.io` says, everything else at the border is float32; batch, height and width are named
    dimensions where they are free. Node names begin with `router/` or `restorer/`. Above 2 GB the weights lie
    next to the graph in `path` + `.data`.

    Args:
        model: in evaluation mode; stays as it is.
        path: `*.onnx`; its folder exists.
        spec: None for the merged graph of one image.
        name: which graph of the spec's form, see `lorair_export.graph.parts.part_of`.

    Raises:
        ValueError: the model is in training mode, or does not allow the spec.
        RuntimeUnavailableError: a package of the `export` extra is missing.
        ExportError: the graph cannot be made or does not pass the checker.
    """
    require("onnx")
    require("onnxscript")
    spec = spec or GraphSpec()
    if model.training:
        raise ValueError("the model is in training mode; call eval() before exporting it")
    part = part_of(model, spec, name)
    program = _exported(part, spec.opset, model.device)
    graph = program.model.graph
    for value, free in zip(graph.inputs, part.free_dimensions(), strict=True):
        if fixed := [axis for axis in free if value.shape is None or isinstance(value.shape[axis], int)]:
            raise ExportError(f"tracing fixed dimensions {fixed} of {value.name}, {value.shape}, meant to stay free")
    _name_nodes(graph)
    for value in graph.outputs:
        if value.name == "restored":
            value.shape = graph.inputs[0].shape
    program.model.producer_name = "lorair"
    program.model.producer_version = lorair.__version__
    program.model.metadata_props.update(graph_metadata(model, spec))
    program.save(path)
    check_file(path)


def check_file(path: Path) -> None:
    """ExportError where the ONNX file does not pass ONNX's checker in full."""
    onnx = require("onnx")
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path}: the graph does not pass ONNX's checker: {error}") from error


def graph_metadata(model: LoRAIR, spec: GraphSpec) -> dict[str, str]:
    """What the graph says of itself in its `metadata_props`."""
    return {
        "lorair.version": lorair.__version__,
        "lorair.degradations": ",".join(model.degradations),
        "lorair.routing": f"{spec.routing}:{spec.pinned}" if spec.pinned else spec.routing,
        "lorair.lowering": spec.lowering,
        "lorair.precision": spec.precision,
        "lorair.local_window": str(model.config.restorer.local_window),
    }


def _exported(part: Part, opset: int, device: torch.device) -> torch.onnx.ONNXProgram:
    image, *steering = part.free_dimensions()
    try:
        with warnings.catch_warnings():
            # Images, prior and gates share one batch, so one of its names is taken for all: as it should be.
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used")
            program = torch.onnx.export(
                part.module,
                part.examples(device),
                dynamo=True,
                opset_version=opset,
                input_names=list(part.inputs),
                output_names=list(part.outputs),
                dynamic_shapes=(image, tuple(steering)) if steering else (image,),
                verbose=False,
                optimize=False,
            )
        assert program is not None
        _shrink(program.model)
        program.optimize()
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise ExportError(f"torch could not export the model: {error}") from error
    return program


def _shrink(model: "onnx_ir.Model") -> None:
    """Take away what has no effect before the optimiser comes, whose time grows with nodes times rules."""
    from onnx_ir.passes.common import CommonSubexpressionEliminationPass, RemoveUnusedNodesPass
    from onnxscript.optimizer import fold_constants

    fold_constants(model)
    RemoveUnusedNodesPass()(model)
    CommonSubexpressionEliminationPass()(model)


def _name_nodes(graph: "onnx_ir.Graph") -> None:
    """Name every node by the module that it comes from, and drop the exporter's notes with their machine paths.

    A node that no module wrote, as one that computes a shape, takes the module of a node that it feeds.
    """
    owners: dict[onnx_ir.Node, str] = {}
    count: Counter[str] = Counter()
    for node in reversed(graph):
        scopes = ast.literal_eval(node.metadata_props.get(SCOPES, "[]"))[:-1]
        fed = [owners[user] for output in node.outputs for user in output.consumers()]
        own = [scope for scope in scopes if scope.startswith(("router", "restorer"))]
        owners[node] = (own or fed or ["restorer"])[-1]
        node.metadata_props.clear()
    for node in graph:
        name = f"{owners[node].replace('.', '/')}/{node.op_type}"
        count[name] += 1
        node.name = name if count[name] == 1 else f"{name}_{count[name]}"
