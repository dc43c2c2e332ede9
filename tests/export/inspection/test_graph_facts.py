"""Work and weights of a graph against torch's own count of the module that it was made from."""

import onnx
import pytest
import torch
from lorair_export.inspection import Inspection
from lorair_export.inspection.artifact import largest
from lorair_export.inspection.graph_facts import Layer, facts_of, macs_of
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


class Network(nn.Module):
    """Every kind of layer that multiplies, behind a pad whose size depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.intro = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.down = nn.Conv2d(8, 16, 2, stride=2)
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)
        self.head = nn.Linear(4, 5)

    def forward(self, image):
        pad = [0, -image.shape[3] % 4, 0, -image.shape[2] % 4]
        features = self.up(self.down(self.depthwise(self.intro(nn.functional.pad(image, pad)))))
        return self.head(features.mean((2, 3)))


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path, model = tmp_path_factory.mktemp("facts") / "graph.onnx", Network().eval()
    sizes = {2: torch.export.Dim("height", min=8, max=64), 3: torch.export.Dim("width", min=8, max=64)}
    program = torch.onnx.export(
        model, (torch.rand(1, 3, 30, 30),), dynamo=True, opset_version=20, dynamic_shapes=(sizes,), verbose=False
    )
    program.save(path)
    return path, model


@pytest.mark.parametrize("size", [(32, 48), (29, 18)])
def test_work_is_what_torch_counts(graph, size):
    path, model = graph
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.rand(1, 3, *size))
    facts = facts_of(path, *size)
    assert facts.macs == sum(layer.macs for layer in facts.layers) == counter.get_total_flops() / 2
    assert facts.image == (1, 3, *size)


def test_weights_types_and_operators_are_all_counted(graph):
    path, model = graph
    facts = facts_of(path, 32, 32)
    assert facts.weight_bytes["float32"] >= sum(tensor.numel() * 4 for tensor in model.parameters())
    assert facts.operators["Conv"] == 3 and facts.operators["ConvTranspose"] == 1
    assert facts.dtypes["float32"] >= 6 and facts.opset == 20 and not facts.findings
    assert (facts.inputs[0].dtype, facts.inputs[0].shape) == ("float32", (1, 3, "height", "width"))


def test_a_transposed_product_sums_over_the_other_dimension():
    assert macs_of("Gemm", [(7, 2), (7, 3)], (2, 3), transposed=True) == 2 * 7 * 3
    assert macs_of("MatMul", [(5, 2, 7), (7, 3)], (5, 2, 3)) == 5 * 2 * 7 * 3
    assert macs_of("Relu", [(2, 3)], (2, 3)) == 0


def test_command_prints_a_bundle_and_a_graph(exported, run_command, read_json, capsys):
    assert run_command("lorair-export", "inspect", exported.folder, "--size", "64x80") == 0
    printed = capsys.readouterr().out
    for words in ("restores: noise, rain, haze", "input image float32", "multiply-accumulates", "parity: 1"):
        assert words in printed
    assert run_command("lorair-export", "inspect", exported.folder, "--json", "--layers", "0") == 0
    assert read_json(Inspection, capsys.readouterr().out)["manifest"]["runtime"] == "onnx"
    assert run_command("lorair-export", "inspect", exported.folder / "model.onnx", "--json", "--layers", "2") == 0
    found = read_json(Inspection, capsys.readouterr().out)
    (graph,) = found["graphs"]
    nodes = onnx.load(exported.folder / "model.onnx").graph.node
    assert found["manifest"] is None and sum(graph["operators"].values()) == len(nodes)
    assert 2 <= len(graph["layers"]) <= 4 and graph["macs"] > 0


def test_the_largest_layers_are_those_of_most_work_and_of_most_weights():
    sizes = ((5, 0), (1, 9), (4, 8), (3, 0), (0, 7))
    layers = tuple(Layer(f"{macs}", "Conv", (1,), macs, weights) for macs, weights in sizes)
    assert [layer.macs for layer in largest(layers, 2)] == [5, 4, 1]
    assert largest(layers, 0) == []


def test_command_rejects_what_is_no_bundle(tmp_path, run_command):
    assert run_command("lorair-export", "inspect", tmp_path) == 4
    assert run_command("lorair-export", "inspect", tmp_path / "nowhere.onnx") == 2
