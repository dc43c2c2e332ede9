"""A graph restated for a runtime that keeps the channels of a pixel side by side in memory, as OpenVINO does.

ONNX has a layer norm over the last axis only, so that every norm stands between two transposes, and a gate splits a
map's channels in two: such a runtime copies the map for each of them. Here a norm is taken over the channels' own
axis, and a split moves up into the convolution before it, which becomes two with half of the outputs each. What the
graph computes stays the same, to rounding.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from lorair_export.extras import require

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir
    from onnxscript.rewriter.pattern import PatternBase, Var

    Pair: TypeAlias = tuple[ir.Value, ir.Value]


class Operators(Protocol):
    """ONNX's operators by name, of a pattern or of a graph in the making."""

    def __getattr__(self, name: str) -> Callable[..., Any]: ...


def channels_last(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The same graph without transposes around layer norms, and without splits that follow convolutions of constants.

    Inputs and outputs keep their names.

    Raises:
        RuntimeUnavailableError: a package of the `export` extra is missing.
    """
    onnx_ir, pattern = require("onnx_ir"), require("onnxscript.rewriter.pattern")
    rules = pattern.RewriteRuleSet(
        [
            pattern.RewriteRule(norm_between_transposes, norm_over_channels),
            pattern.RewriteRule(split_convolution, halved_convolutions),
            pattern.RewriteRule(split_quantisers, halved_quantisers),
        ]
    )
    graph = onnx_ir.from_proto(model)
    while rules.apply_to_model(graph):  # a split moves up by one node each time
        pass
    passes = require("onnx_ir.passes.common")
    passes.RemoveUnusedNodesPass()(graph)  # kernels whose halves are there
    passes.LiftConstantsToInitializersPass()(graph)
    return onnx_ir.to_proto(graph)


# Patterns, and below each what replaces it, as onnxscript's rewriter takes them; None leaves what was found.


def norm_between_transposes(op: Operators, x: "Var", weight: "Var", bias: "Var") -> "PatternBase":
    rows = op.Transpose(x, perm=[0, 2, 3, 1])
    return op.Transpose(op.LayerNormalization(rows, weight, bias, axis=-1, _outputs=["norm"]), perm=[0, 3, 1, 2])


def norm_over_channels(
    op: Operators, x: "ir.Value", weight: "ir.Value", bias: "ir.Value", norm: "ir.Value"
) -> "ir.Value":
    channels, of_channel = op.Constant(value_ints=[1]), op.Constant(value_ints=[-1, 1, 1])
    eps = op.Constant(value_float=made_by(norm).attributes["epsilon"].as_float())
    centred = op.Sub(x, op.ReduceMean(x, channels))
    deviation = op.Sqrt(op.Add(op.ReduceMean(op.Mul(centred, centred), channels), eps))
    return op.Add(op.Mul(op.Div(centred, deviation), op.Reshape(weight, of_channel)), op.Reshape(bias, of_channel))


def split_convolution(op: Operators, x: "Var", kernel: "Var", bias: "Var") -> "PatternBase":
    return op.Split(op.Conv(x, kernel, bias, _outputs=["y"]), axis=1, num_outputs=2, _outputs=2)


def halved_convolutions(
    op: Operators, x: "ir.Value", kernel: "ir.Value", bias: "ir.Value", y: "ir.Value"
) -> "Pair | None":
    """Two convolutions of x, or of a half of it each where there are groups: half of them take half of the channels."""
    attributes = dict(made_by(y).attributes)
    groups = attributes.pop("group").as_int()
    kernels, biases = halves(op, kernel), halves(op, bias)
    if kernels is None or biases is None or (groups > 1 and groups % 2):
        return None
    inputs = (x, x) if groups == 1 else op.Split(x, axis=1, num_outputs=2, _outputs=2)
    u, v = zip(inputs, kernels, biases, strict=True)
    groups = max(1, groups // 2)
    return op.Conv(*u, **attributes, group=groups), op.Conv(*v, **attributes, group=groups)


def split_quantisers(op: Operators, x: "Var", scale: "Var", zero: "Var") -> "PatternBase":
    y = op.DequantizeLinear(op.QuantizeLinear(x, scale, zero), scale, zero)
    return op.Split(y, axis=1, num_outputs=2, _outputs=2)


def halved_quantisers(op: Operators, x: "ir.Value", scale: "ir.Value", zero: "ir.Value") -> "Pair | None":
    if scale.const_value is None or scale.const_value.shape:  # a scale for each channel
        return None
    u, v = (op.QuantizeLinear(half, scale, zero) for half in op.Split(x, axis=1, num_outputs=2, _outputs=2))
    return op.DequantizeLinear(u, scale, zero), op.DequantizeLinear(v, scale, zero)


def halves(op: Operators, value: "ir.Value | None") -> "Pair | None":
    """Both halves of a constant along its first axis, also of one that the graph dequantises; None of anything else."""
    if value is None:
        return None
    if value.const_value is not None:
        tensor, array = require("onnx_ir").tensor, value.const_value.numpy()
        first, second = np.split(array, 2) if array.ndim else (array, array)
        return op.Constant(value=tensor(first)), op.Constant(value=tensor(second))
    node = value.producer()
    if node is None or node.op_type != "DequantizeLinear":
        return None
    inputs = [pair for pair in (halves(op, input) for input in node.inputs) if pair]
    if len(inputs) < len(node.inputs):
        return None
    first, second = zip(*inputs, strict=True)
    return op.DequantizeLinear(*first, **node.attributes), op.DequantizeLinear(*second, **node.attributes)


def made_by(value: "ir.Value") -> "ir.Node":
    node = value.producer()
    assert node is not None
    return node
