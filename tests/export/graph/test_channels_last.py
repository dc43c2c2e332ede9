"""Graphs restated for channels-last runtimes compute what they computed, by ONNX Runtime with its own rewriting off."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from lorair_export.graph.channels_last import channels_last
from onnx import TensorProto, helper, numpy_helper

# (form, precision, graph, splits that stay): halves of kernels made in the graph, or of low-rank sums, cannot be taken.
CASES = [
    ("pinned", "fp32", "model", 0),
    ("experts", "int8", "restorer.rain", 0),
    ("split", "fp32", "restorer", 4),
    pytest.param("split-merged", "fp32", "restorer", 4, marks=pytest.mark.full),
    pytest.param("pinned", "fp16", "model", 0, marks=pytest.mark.full),
]


@pytest.mark.parametrize(("form", "precision", "graph", "splits"), CASES)
def test_computes_the_same(form_of, form, precision, graph, splits):
    model = onnx.load(form_of(form, precision).folder / f"{graph}.onnx")
    restated = channels_last(model)
    onnx.checker.check_model(restated, full_check=True)
    assert (restated.graph.input, restated.graph.output) == (model.graph.input, model.graph.output)
    before, after = operators(model), operators(restated)
    norms = before["LayerNormalization"]
    assert norms > 2 and before["Split"] > 1
    assert (after["LayerNormalization"], after["Split"]) == (0, splits)
    assert after["Transpose"] == before["Transpose"] - 2 * norms
    feed = feed_of(model)
    for expected, result in zip(outputs(model, feed), outputs(restated, feed), strict=True):
        np.testing.assert_allclose(result, expected, rtol=0, atol={"int8": 0.02, "fp16": 2e-3}.get(precision, 2e-6))


def test_half_of_the_groups_has_half_of_the_channels():
    """Four groups; three are left whole, and so is a kernel that is an input."""
    rng = np.random.default_rng(0)
    for groups, constant, splits in ((4, True, 1), (3, True, 1), (1, True, 0), (1, False, 1)):
        kernel = rng.standard_normal((12, 12 // groups, 3, 3), dtype=np.float32)
        model = split_after_convolution(kernel, groups, constant)
        restated = channels_last(model)
        assert operators(restated)["Split"] == splits
        assert operators(restated)["Conv"] == (1 if groups == 3 or not constant else 2)
        feed = {"x": rng.random((2, 12, 7, 5), dtype=np.float32), "kernel": kernel}
        feed = {value.name: feed[value.name] for value in model.graph.input}
        for expected, result in zip(outputs(model, feed), outputs(restated, feed), strict=True):
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_large_offsets_do_not_cancel():
    """A pixel whose channels are nearly equal: what is normed is their difference, not what squares leave of it."""
    x = (1000 + np.random.default_rng(0).random((1, 16, 3, 3))).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["x"], ["rows"], perm=[0, 2, 3, 1]),
        helper.make_node("LayerNormalization", ["rows", "weight", "bias"], ["normed"], axis=-1, epsilon=1e-6),
        helper.make_node("Transpose", ["normed"], ["y"], perm=[0, 3, 1, 2]),
    ]
    model = made(nodes, [("x", x.shape)], [("y", x.shape)], {"weight": np.ones(16), "bias": np.zeros(16)})
    exact = x.astype(np.float64) - x.mean(1, keepdims=True, dtype=np.float64)
    exact /= np.sqrt((exact**2).mean(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(outputs(channels_last(model), {"x": x})[0], exact, rtol=0, atol=1e-3)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def feed_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Random images of 48x64 and steering, in each input's own shape."""
    rng, free = np.random.default_rng(0), {"height": 48, "width": 64}
    shapes = {
        value.name: [dim.dim_value or free.get(dim.dim_param, 1) for dim in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }
    return {name: rng.random(shape, dtype=np.float32) for name, shape in shapes.items()}


def outputs(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feed)


def split_after_convolution(kernel: np.ndarray, groups: int, constant: bool) -> onnx.ModelProto:
    channels = len(kernel)
    nodes = [
        helper.make_node("Conv", ["x", "kernel", "bias"], ["y"], group=groups, pads=[1, 1, 1, 1]),
        helper.make_node("Split", ["y"], ["u", "v"], axis=1, num_outputs=2),
    ]
    constants = {"bias": np.arange(channels), **({"kernel": kernel} if constant else {})}
    inputs = [("x", (2, channels, 7, 5)), *([] if constant else [("kernel", kernel.shape)])]
    return made(nodes, inputs, [(name, (2, channels // 2, 7, 5)) for name in "uv"], constants)


def made(nodes, inputs, outputs, constants) -> onnx.ModelProto:
    border = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values]
        for values in (inputs, outputs)
    ]
    initializers = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", *border, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
