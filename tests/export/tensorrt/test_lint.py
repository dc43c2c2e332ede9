"""What the lint rejects, TensorRT-RTX's own parser or builder rejects too, and what passes is built."""

import numpy as np
import onnx
import pytest
from lorair_export.bundle import Profile
from lorair_export.errors import BuildError, ExportError
from lorair_export.tensorrt import EngineSpec, engine_from_onnx, find_tensorrt
from lorair_export.tensorrt.lint import check_buildable, lint
from onnx import TensorProto, helper, numpy_helper

SPEC = EngineSpec((Profile((1, 3, 32, 32), (1, 3, 64, 64), (1, 3, 96, 96)),), ("8.6",))
FREE = ["batch", 3, "height", "width"]


def write(path, nodes, constants=(), opset=20, dtype=TensorProto.FLOAT, output=FREE):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("image", dtype, FREE)],
        [helper.make_tensor_value_info("restored", dtype, output)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def node(operator, inputs, outputs=("restored",), **attributes):
    return helper.make_node(operator, inputs, list(outputs), name=f"restorer/{operator}", **attributes)


def branch(name, nodes, output):
    return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, FREE)])


def resize(path, antialias):
    scales = [("scales", np.float32([1, 1, 0.5, 0.5]))]
    return write(path, [node("Resize", ["image", "", "scales"], antialias=antialias, mode="linear")], scales)


def scatter(path, reduction):
    """An image added to itself, row by row."""
    nodes = [
        node("Shape", ["image"], ["size"]),
        node("ConstantOfShape", ["size"], ["rows"], value=numpy_helper.from_array(np.int64([0]), "zero")),
        node("ScatterElements", ["image", "rows", "image"], axis=2, reduction=reduction),
    ]
    return write(path, nodes)


def nested_if(path):
    relu = branch("relu", [node("Relu", ["image"], ["a"])], "a")
    keep = branch("keep", [node("Neg", ["image"], ["b"])], "b")
    inner = helper.make_node("If", ["dark"], ["c"], name="restorer/inner", then_branch=relu, else_branch=keep)
    absolute = branch("absolute", [node("Abs", ["image"], ["d"])], "d")
    outer = node("If", ["bright"], then_branch=branch("inner", [inner], "c"), else_branch=absolute)
    mean = node("ReduceMean", ["image"], ["mean"], keepdims=0)
    nodes = [mean, node("Greater", ["mean", "half"], ["bright"]), node("Less", ["mean", "half"], ["dark"]), outer]
    return write(path, nodes, [("half", np.float32(0.5))])


def attention(path):
    nodes = [
        node("Mul", ["image", "half"], ["query"]),
        node("Add", ["image", "half"], ["key"]),
        node("Attention", ["query", "key", "image"]),
    ]
    return write(path, nodes, [("half", np.float32(0.5))], opset=23, output=["batch", 3, "height", "v"])


REJECTED = {
    "antialias": lambda path: resize(path, 1),
    "reduction": lambda path: scatter(path, "add"),
    "nested branches": nested_if,
    "float32": attention,
}


@pytest.mark.parametrize("reason", REJECTED)
def test_what_is_rejected_is_what_the_builder_rejects(reason, tmp_path):
    path = REJECTED[reason](tmp_path / "graph.onnx")
    onnx.checker.check_model(path)
    (finding,) = [finding for finding in lint(path) if finding.fatal]
    assert reason in finding.reason and finding.node.startswith("restorer/")
    with pytest.raises(BuildError, match=finding.node):
        check_buildable(path)
    with pytest.raises(BuildError):
        engine_from_onnx(path, find_tensorrt("rtx"), SPEC)


@pytest.mark.parametrize("write_graph", [lambda path: resize(path, 0), lambda path: scatter(path, "none")])
def test_what_passes_is_built(write_graph, tmp_path):
    path = write_graph(tmp_path / "graph.onnx")
    assert lint(path) == []
    assert engine_from_onnx(path, find_tensorrt("rtx"), SPEC).plan


def test_float64_and_data_dependent_shapes_are_named(tmp_path):
    wide = write(tmp_path / "wide.onnx", [node("Relu", ["image"])], dtype=TensorProto.DOUBLE)
    assert [finding.operator for finding in lint(wide)] == ["Relu"]
    nodes = [node("NonZero", ["image"], ["places"]), node("Cast", ["places"], to=TensorProto.FLOAT)]
    assert [finding.operator for finding in lint(write(tmp_path / "shape.onnx", nodes, output=["rank", "n"]))] == [
        "NonZero"
    ]


@pytest.mark.parametrize(("dtype", "found"), [(TensorProto.FLOAT16, True), (TensorProto.FLOAT, False)])
def test_a_norm_in_pieces_is_bad_in_low_precision(tmp_path, dtype, found, caplog):
    """It is built all the same, so it warns."""
    nodes = [
        node("ReduceMean", ["image"], ["mean"]),
        node("Sub", ["image", "mean"], ["centred"]),
        node("Mul", ["centred", "centred"], ["squares"]),
        node("ReduceMean", ["squares"], ["variance"]),
        node("Add", ["variance", "epsilon"], ["raised"]),
        node("Sqrt", ["raised"], ["deviation"]),
        node("Div", ["centred", "deviation"]),
    ]
    epsilon = np.asarray(1e-3, np.float16 if dtype == TensorProto.FLOAT16 else np.float32)
    path = write(tmp_path / "norm.onnx", nodes, [("epsilon", epsilon)], dtype=dtype)
    assert [finding.operator for finding in lint(path)] == (["Sqrt"] if found else [])
    check_buildable(path)
    assert ("LayerNormalization" in caplog.text) is found


def test_our_own_graphs_pass(exported):
    assert lint(exported.folder / "model.onnx") == []


def test_another_file_is_no_graph(tmp_path):
    (tmp_path / "graph.onnx").write_bytes(b"no graph")
    with pytest.raises(ExportError, match="not an ONNX file"):
        lint(tmp_path / "graph.onnx")
