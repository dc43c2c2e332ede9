"""A model as one ONNX graph: image in, restored image and gates out."""

import ast
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import Dim

import lorair
from lorair.model import LoRAIR
from lorair_export.errors import ExportError
from lorair_export.extras import require
from lorair_export.lowering import Lowering, lowered_restorer

if TYPE_CHECKING:
    import onnx_ir

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}
OPSETS = range(18, 23)
SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True)
class GraphSpec:
    """What graph to make of a model.

    ``precision`` is what the restorer computes in, fp32 or fp16; ``max_batch`` the most images per call, 1 with
    the merged lowering; ``min_size`` and ``max_size`` the smallest and largest height and width in pixels. Where
    they are equal the graph is of fixed size.

    Raises ValueError where an option is out of range or two contradict each other.
    """

    lowering: Lowering = Lowering.MERGED
    precision: str = "fp32"
    opset: int = 20
    max_batch: int = 1
    min_size: int = 16
    max_size: int = 4096

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {self.precision!r}")
        if self.opset not in OPSETS:
            raise ValueError(
                f"opset must lie in {OPSETS[0]}..{OPSETS[-1]}, got {self.opset}; "
                "TensorRT-RTX builds no float32 attention from the operator of opset 23"
            )
        if not 2 <= self.min_size <= self.max_size:
            raise ValueError(f"sizes need 2 <= min <= max; got {self.min_size} and {self.max_size}")
        if self.max_batch < 1:
            raise ValueError(f"max_batch must be at least 1; got {self.max_batch}")
        if self.lowering is Lowering.MERGED and self.max_batch > 1:
            raise ValueError(
                f"the merged lowering takes one image per call, got max_batch {self.max_batch}; use low-rank"
            )


class RestoringGraph(nn.Module):
    """Router and lowered restorer in a row: image [B, 3, H, W] in [0, 1] -> restored alike, gates [B, E].

    Float32 at the border and in the router, ``dtype`` in the restorer.
    """

    def __init__(self, router: nn.Module, restorer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.router = router
        self.restorer = restorer
        self.dtype = dtype

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        routing = self.router(image)
        inputs = (tensor.to(self.dtype) for tensor in (image, routing.prior, routing.gates))
        return self.restorer(*inputs).float(), routing.gates


def onnx_from_model(model: LoRAIR, path: Path, spec: GraphSpec | None = None) -> None:
    """Write a checked ONNX file: ``image`` [batch, 3, height, width] -> ``restored``, ``gates``.

    Everything is float32 at the border, images in [0, 1]; batch, height and width are named dimensions
    where they are free. Node names begin with ``router/`` or ``restorer/``. Above 2 GB the weights lie beside
    the graph in ``path`` + ``.data``.

    Args:
        model: in evaluation mode; stays as it is.
        path: ``*.onnx``; its folder exists.
        spec: None for the merged graph of one image.

    Raises:
        ValueError: the model is in training mode.
        RuntimeUnavailableError: a package of the ``export`` extra is missing.
        ExportError: the graph cannot be made or does not pass the checker.
    """
    onnx = require("onnx")
    require("onnxscript")
    spec = spec or GraphSpec()
    program = _exported(model, spec)
    graph = program.model.graph
    shape = graph.inputs[0].shape
    if fixed := [axis for axis in _free_dimensions(spec) if shape is None or isinstance(shape[axis], int)]:
        raise ExportError(f"tracing fixed dimensions {fixed} of the images, {shape}, that were to stay free")
    _name_nodes(graph)
    graph.outputs[0].shape = graph.inputs[0].shape
    program.model.producer_name = "lorair"
    program.model.producer_version = lorair.__version__
    program.model.metadata_props.update(graph_metadata(model, spec))
    program.save(path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{path}: the graph does not pass ONNX's checker: {error}") from error


def graph_metadata(model: LoRAIR, spec: GraphSpec) -> dict[str, str]:
    """What the graph says of itself in its ``metadata_props``."""
    return {
        "lorair.version": lorair.__version__,
        "lorair.degradations": ",".join(model.degradations),
        "lorair.lowering": spec.lowering,
        "lorair.precision": spec.precision,
        "lorair.local_window": str(model.config.restorer.local_window),
    }


def _exported(model: LoRAIR, spec: GraphSpec) -> torch.onnx.ONNXProgram:
    if model.training:
        raise ValueError("the model is in training mode; call eval() before exporting it")
    dtype = PRECISIONS[spec.precision]
    restorer = lowered_restorer(model, spec.lowering, spec.max_size, dtype)
    graph = RestoringGraph(model.router, restorer, dtype).eval()
    side = (spec.min_size + spec.max_size) // 2
    image = torch.zeros(spec.max_batch, 3, side, side, device=model.device)
    try:
        program = torch.onnx.export(
            graph,
            (image,),
            dynamo=True,
            opset_version=spec.opset,
            input_names=["image"],
            output_names=["restored", "gates"],
            dynamic_shapes=(_free_dimensions(spec),),
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


def _free_dimensions(spec: GraphSpec) -> dict[int, Any]:
    dimensions: dict[int, Any] = {}
    if spec.max_batch > 1:
        dimensions[0] = Dim("batch", min=1, max=spec.max_batch)
    if spec.min_size < spec.max_size:
        dimensions[2] = Dim("height", min=spec.min_size, max=spec.max_size)
        dimensions[3] = Dim("width", min=spec.min_size, max=spec.max_size)
    return dimensions


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
