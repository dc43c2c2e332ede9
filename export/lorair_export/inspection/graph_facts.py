"""Facts about an ONNX graph: inputs, outputs, operators, dtypes, and its largest layers by work and weights."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from lorair_export.bundle import TensorSpec
from lorair_export.extras import require
from lorair_export.tensorrt import Finding, lint, read_graph

if TYPE_CHECKING:
    import onnx_ir


@dataclass(frozen=True)
class Layer:
    """A node that multiplies or holds weights.

    Attributes:
        name: of the node.
        operator: of ONNX.
        output: shape of its output for the image that work is counted for.
        macs: multiply-accumulates for that image.
        weight_bytes: size of its constants.
    """

    name: str
    operator: str
    output: tuple[int, ...]
    macs: int
    weight_bytes: int


@dataclass(frozen=True)
class GraphFacts:
    """A graph in figures.

    Attributes:
        file: its name.
        opset: of its operators.
        ir_version: of the file format.
        inputs: what it takes.
        outputs: what it gives.
        operators: how many nodes of each operator.
        dtypes: how many computed tensors of each dtype.
        weight_bytes: size of the constants of each dtype.
        image: [B, 3, H, W] that work is counted for.
        macs: multiply-accumulates of convolutions and matrix products for that image.
        layers: nodes that multiply or hold weights.
        findings: what TensorRT rejects or computes badly.
    """

    file: str
    opset: int
    ir_version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int]
    dtypes: Mapping[str, int]
    weight_bytes: Mapping[str, int]
    image: tuple[int, int, int, int]
    macs: int
    layers: tuple[Layer, ...]
    findings: tuple[Finding, ...]


def facts_of(path: Path, height: int, width: int) -> GraphFacts:
    """The facts of an ONNX file, its work counted for one image of that size where the graph leaves it free.

    Raises:
        ExportError: the file is not ONNX.
        RuntimeUnavailableError: a package of the `export` extra is missing.
    """
    model = read_graph(path)
    graph = model.graph
    nodes = list(graph)
    weights: Counter[str] = Counter()
    for value in graph.initializers.values():
        if value.dtype is not None:
            weights[_name(value)] += _bytes(value)
    values = [value for node in nodes for value in node.outputs]
    image, shapes = shapes_for(path, height, width)
    layers = [_layer(node, shapes) for node in nodes]
    return GraphFacts(
        file=path.name,
        opset=graph.opset_imports[""],
        ir_version=model.ir_version,
        inputs=tuple(map(_spec, graph.inputs)),
        outputs=tuple(map(_spec, graph.outputs)),
        operators=_counted(node.op_type for node in nodes),
        dtypes=_counted(_name(value) for value in values if value.dtype is not None),
        weight_bytes=_counted(weights),
        image=image,
        macs=sum(layer.macs for layer in layers),
        layers=tuple(layer for layer in layers if layer.macs or layer.weight_bytes),
        findings=tuple(lint(path)),
    )


Shapes = Mapping[str, tuple[int, ...]]


def shapes_for(path: Path, height: int, width: int) -> tuple[tuple[int, int, int, int], Shapes]:
    """The image's shape, and those of all tensors that do not fold away when the image is of that size.

    What computes sizes is folded first; ONNX's shape inference does not follow it.
    """
    from onnxscript.optimizer import fold_constants

    ir, model = require("onnx_ir"), read_graph(path)
    graph = model.graph
    sizes = {0: 1, 2: height, 3: width}
    for value in graph.inputs:
        dims = value.shape or ()
        value.shape = ir.Shape([dim if isinstance(dim, int) else sizes[axis] for axis, dim in enumerate(dims)])
    for value in [value for node in graph for value in node.outputs]:
        value.shape = None
    fold_constants(model, onnx_shape_inference=True)
    values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    known = {value.name or "": value.shape for value in values}
    shapes = {name: tuple(shape.numpy()) for name, shape in known.items() if shape is not None and shape.is_static()}
    image = shapes[graph.inputs[0].name or ""]
    assert len(image) == 4
    return image, shapes


def macs_of(operator: str, inputs: Sequence[tuple[int, ...]], output: tuple[int, ...], transposed: bool = False) -> int:
    """Multiply-accumulates of a node by the shapes of its inputs and output; 0 for operators of other kinds.

    Every output of a convolution sums over `weight[1:]`, [C_in / groups, kernel...]; of a transposed one every
    input spreads over them. A matrix product sums over the inner dimension.
    """
    if operator == "Conv":
        return prod(output) * prod(inputs[1][1:])
    if operator == "ConvTranspose":
        return prod(inputs[0]) * prod(inputs[1][1:])
    if operator in ("MatMul", "Gemm"):
        return prod(output) * inputs[0][0 if transposed else -1]
    return 0


def _layer(node: "onnx_ir.Node", shapes: Shapes) -> Layer:
    inputs = [shapes.get(value.name or "", ()) if value is not None else () for value in node.inputs]
    output = shapes.get(node.outputs[0].name or "", ())
    transposed = node.op_type == "Gemm" and "transA" in node.attributes and bool(node.attributes["transA"].value)
    held = sum(_bytes(value) for value in node.inputs if value is not None and value.is_initializer())
    known = bool(output) and all(inputs[:2])
    macs = macs_of(node.op_type, inputs, output, transposed) if known else 0
    return Layer(node.name or "", node.op_type, output, macs, held)


def _spec(value: "onnx_ir.Value") -> TensorSpec:
    dims = tuple(dim if isinstance(dim, int) else str(dim) for dim in value.shape or ())
    return TensorSpec(value.name or "", _name(value), dims)


def _name(value: "onnx_ir.Value") -> str:
    return "unknown" if value.dtype is None else value.dtype.numpy().name


def _bytes(value: "onnx_ir.Value") -> int:
    if value.dtype is None or value.shape is None:
        return 0
    return int(prod(value.shape.numpy()) * value.dtype.itemsize)


def _counted(values: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(values).most_common())
