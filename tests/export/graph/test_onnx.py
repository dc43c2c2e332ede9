"""The exported graphs: what they are made of, and that ONNX Runtime restores by them what torch restores."""

import math
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from lorair_export.errors import ExportError
from lorair_export.graph import onnx as exporting
from lorair_export.graph.onnx import onnx_from_model
from lorair_export.spec import GraphSpec, Lowering

# TensorRT builds none of these for free sizes, or runs none of them without leaving the stream.
FORBIDDEN = {"If", "Loop", "Scan", "NonZero", "Einsum", "Resize", "ScatterElements", "ScatterND", "Attention"}


@pytest.fixture(scope="session")
def graph(exported):
    return onnx.load(exported.folder / "model.onnx")


@pytest.fixture(scope="session")
def session(exported):
    return opened(exported)


def opened(exported):
    path = str(exported.folder / "model.onnx")
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_the_graph_is_static(graph):
    assert {node.domain for node in graph.graph.node} == {""}
    assert not FORBIDDEN & {node.op_type for node in graph.graph.node}
    assert not graph.functions


def test_border(graph, exported):
    def shape(value):
        return [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]

    batch = 1 if exported.manifest.lowering == "merged" else "batch"
    values = [*graph.graph.input, *graph.graph.output]
    assert {value.name: shape(value) for value in values} == {
        "image": [batch, 3, "height", "width"],
        "restored": [batch, 3, "height", "width"],
        "gates": [batch, 3],
    }
    assert all(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for value in values)
    assert (graph.ir_version, [(entry.domain, entry.version) for entry in graph.opset_import]) == (10, [("", 20)])


def test_the_graph_has_metadata(graph, exported):
    told = {entry.key: entry.value for entry in graph.metadata_props}
    assert told["lorair.degradations"] == "noise,rain,haze"
    assert told["lorair.lowering"] == exported.manifest.lowering
    assert (exported.folder / "model.onnx").read_bytes().find(str(Path.cwd()).encode()) == -1


def test_every_node_is_named_by_its_part(graph):
    names = [node.name for node in graph.graph.node]
    assert len(set(names)) == len(names)
    assert {name.split("/")[0] for name in names} == {"router", "restorer"}
    attention = [node.op_type for node in graph.graph.node if "router/tower" in node.name]
    assert {"Softmax", "LayerNormalization"} <= set(attention) and "DepthToSpace" not in attention


def test_layer_norms_stay_whole(graph):
    kinds = [node.op_type for node in graph.graph.node if node.name.startswith("restorer/")]
    assert kinds.count("LayerNormalization") == 2 * 2 + 2


def test_merged_kernels_are_products_of_factors(merged):
    """Were they folded at export, three full kernels would lie in the graph for each convolution."""
    graph = onnx.load(merged.folder / "model.onnx").graph
    held = sum(math.prod(tensor.dims) for tensor in graph.initializer)
    assert held < 1.1 * sum(parameter.numel() for parameter in merged.model.parameters())


# Both sides of the attention's window of 48, equal to it, and no multiples of 2.
@pytest.mark.parametrize("size", [(2, 2), (16, 16), (31, 47), (48, 48), (49, 48), (40, 97), (97, 40), (131, 160)])
def test_restores_as_torch_at_every_size(session, exported, size):
    torch.manual_seed(sum(size))
    images = torch.rand(1 if exported.manifest.lowering == "merged" else 3, 3, *size)
    with torch.no_grad():
        routing = exported.model.route(images)
        expected = exported.model.restorer(images, routing.prior, routing.gates).clamp(0, 1)
    restored, gates = map(torch.from_numpy, session.run(["restored", "gates"], {"image": images.numpy()}))
    mse = (restored.double() - expected.double()).square().mean().item()
    assert (expected - images).abs().mean() > 0.05
    assert mse < 10**-8  # 80 dB
    torch.testing.assert_close(gates, routing.gates)
    assert all((row > 0).sum() == 2 for row in gates)


def test_images_of_a_batch_do_not_mix(low_rank):
    session = opened(low_rank)
    images = torch.stack([torch.rand(3, 40, 56), torch.zeros(3, 40, 56), torch.ones(3, 40, 56)])
    together = session.run(["restored"], {"image": images.numpy()})[0]
    alone = [session.run(["restored"], {"image": image[None].numpy()})[0] for image in images]
    assert max(abs(together[i] - alone[i][0]).max() for i in range(3)) < 1e-5


def test_a_fixed_size_in_16_bits(form_of):
    """The border stays float32, and so do the router and every layer norm."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(form_of("merged", "fp16").folder / "model.onnx")).graph
    values = [*graph.input, *graph.output, *graph.value_info]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    assert [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim] == [1, 3, 48, 64]
    assert {types[name] for name in ("image", "restored", "gates")} == {onnx.TensorProto.FLOAT}
    for node in graph.node:
        if node.name.startswith("router/tower") or node.op_type == "LayerNormalization":
            assert types[node.output[0]] != onnx.TensorProto.FLOAT16
        elif node.op_type == "Conv":
            assert types[node.output[0]] == onnx.TensorProto.FLOAT16


def test_training_mode_is_rejected(make_model, tmp_path):
    with pytest.raises(ValueError, match="eval"):
        onnx_from_model(make_model().train(), tmp_path / "model.onnx")


def test_what_torch_cannot_export_is_an_export_error(export_model, tmp_path, monkeypatch):
    def failing(*args, **kwargs):
        raise torch.onnx.errors.OnnxExporterError("no such operator")

    monkeypatch.setattr(exporting.torch.onnx, "export", failing)
    with pytest.raises(ExportError, match="no such operator"):
        onnx_from_model(export_model, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_batch": 2}, "low-rank"),
        ({"max_batch": 0}, "at least 1"),
        ({"opset": 23}, "18..22"),
        ({"precision": "int4"}, "fp32"),
        ({"min_size": 64, "max_size": 32}, "min <= max"),
    ],
)
def test_contradicting_options_are_rejected(options, words):
    with pytest.raises(ValueError, match=words):
        GraphSpec(Lowering.MERGED, **options)
