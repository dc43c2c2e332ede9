"""A graph in bfloat16 restated in float32, for a runtime without bfloat16 convolutions."""

from typing import TYPE_CHECKING

import numpy as np

from lorair_export.extras import require

if TYPE_CHECKING:
    import onnx


def holds_bfloat16(model: "onnx.ModelProto") -> bool:
    """Whether a node casts to bfloat16, as in every graph whose border is float32."""
    bfloat16 = require("onnx").TensorProto.BFLOAT16
    casts = (attribute for node in model.graph.node if node.op_type == "Cast" for attribute in node.attribute)
    return any(attribute.name == "to" and attribute.i == bfloat16 for attribute in casts)


def in_float32(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy that computes in float32 what the graph computes in bfloat16, every result rounded to bfloat16.

    That is what hardware does that sums in float32. Tensors keep their names. A graph without bfloat16 is copied.
    """
    onnx = require("onnx")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if not holds_bfloat16(model):
        return copy
    types, graph = tensor_types(model), copy.graph
    bfloat16, nodes = onnx.TensorProto.BFLOAT16, list(graph.node)
    for tensor in graph.initializer:
        _widen(tensor)
    del graph.value_info[:], graph.node[:]
    for node in nodes:
        for attribute in node.attribute:
            _widen(attribute.t)
        rounding = []
        for index, name in enumerate(node.output):
            if types.get(name) == bfloat16:
                node.output[index] = f"{name}.wide"
                rounding += [
                    onnx.helper.make_node("Cast", [f"{name}.wide"], [f"{name}.narrow"], to=bfloat16),
                    onnx.helper.make_node("Cast", [f"{name}.narrow"], [name], to=onnx.TensorProto.FLOAT),
                ]
        graph.node.extend([node, *rounding])
    return copy


def tensor_types(model: "onnx.ModelProto") -> dict[str, int]:
    """The ONNX element type of every tensor of the graph, by name."""
    onnx = require("onnx")
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.name = model.graph.name
    bare.graph.node.extend(model.graph.node)
    # Types need no values, and those above 2 GB could not be passed on.
    constants = [onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer]
    bare.graph.input.extend([*model.graph.input, *constants])
    graph = onnx.shape_inference.infer_shapes(bare).graph
    return {
        value.name: value.type.tensor_type.elem_type for value in [*graph.input, *model.graph.output, *graph.value_info]
    }


def _widen(tensor: "onnx.TensorProto") -> None:
    """Turn a bfloat16 tensor into a float32 one, in place."""
    onnx = require("onnx")
    if tensor.data_type == onnx.TensorProto.BFLOAT16:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
