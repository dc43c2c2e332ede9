"""Whether a graph's convolutions are in the precision that was requested."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lorair_export.errors import ExportError
from lorair_export.extras import require
from lorair_export.graph.bfloat16 import tensor_types
from lorair_export.graph.session import Feed, observed
from lorair_export.spec import PRECISIONS

if TYPE_CHECKING:
    import onnx

NAMES = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16", "INT8": "int8", "FLOAT8E4M3FN": "fp8"}
SIDE = 64


def checked_shares(model: "onnx.ModelProto", precision: str) -> dict[str, float]:
    """Shares of `multiplication_shares`; ExportError where too few take the precision."""
    shares = multiplication_shares(model)
    least = PRECISIONS[precision].least_share
    if shares and shares.get(precision, 0) < least:
        found = ", ".join(f"{share:.0%} {name}" for name, share in shares.items())
        raise ExportError(
            f"the graph was to be {precision}, at least {least:.0%} of its convolutions' multiplications; it is {found}"
        )
    return shares


def multiplication_shares(model: "onnx.ModelProto") -> dict[str, float]:
    """The share of the restorer's convolution multiplications by precision, the largest first; sum 1.

    Counted on one image of about 64 x 64 pixels, run on the CPU. Empty where there is no restorer in the graph.
    """
    initializers = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    kinds = convolution_types(model)
    nodes = [node for node in model.graph.node if node.name in kinds and not node.name.startswith("router/")]
    computed = dict.fromkeys(name for node in nodes for name in (node.input[1], node.output[0]))
    tensors = [name for name in computed if name not in initializers]
    shapes: dict[str, tuple[int, ...]] = dict(initializers)
    for values in observed(model, tensors, [blank_feed(model)] if nodes else []):
        shapes |= {name: value.shape for name, value in values.items()}
    counts: defaultdict[str, int] = defaultdict(int)
    for node in nodes:
        counts[kinds[node.name]] += int(np.prod(shapes[node.input[1]][1:]) * np.prod(shapes[node.output[0]]))
    whole = sum(counts.values())
    return {name: count / whole for name, count in sorted(counts.items(), key=lambda item: -item[1])}


def convolution_types(model: "onnx.ModelProto") -> dict[str, str]:
    """The precision of every convolution by its node's name; 8 bits where both its inputs are dequantised from them."""
    types = tensor_types(model)
    dequantised = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}

    def kind(name: str) -> str:
        code = types[dequantised.get(name, name)]
        return NAMES[require("onnx").TensorProto.DataType.Name(code)]

    found: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            data, kernel = map(kind, node.input[:2])
            found[node.name] = data if data == kernel else "fp32"
    return found


def weight_mib(model: "onnx.ModelProto", prefix: str = "restorer/") -> float:
    """The size in MiB of the constants that nodes of that name's beginning take, through dequantisation too."""
    names = {name for node in model.graph.node if node.name.startswith(prefix) for name in node.input}
    return sum(tensor_bytes(tensor) for tensor in model.graph.initializer if tensor.name in names) / 2**20


def tensor_bytes(tensor: "onnx.TensorProto") -> int:
    """The size in bytes of a tensor's values."""
    return int(np.prod(tensor.dims)) * require("onnx").helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def blank_feed(model: "onnx.ModelProto") -> Feed:
    """Zeros for every input, one image of about `SIDE` pixels a side where its size is free."""
    helper = require("onnx").helper
    free: Mapping[str, int] = {"batch": 1, "height": SIDE, "width": SIDE}
    feed: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [size.dim_value or free[size.dim_param] for size in kind.shape.dim]
        feed[value.name] = np.zeros(shape, helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return feed
