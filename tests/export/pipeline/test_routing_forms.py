"""Every form of routing restores what torch restores, builds, and costs what it says."""

import copy
import math
import shutil
import warnings
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from lorair_export.bundle import Profile, read_bundle
from lorair_export.graph.lowering import static_net
from lorair_export.graph.parts import ROUTER_SIZES
from lorair_export.pipeline import export_onnx
from lorair_export.pipeline.engines import add_engines
from lorair_export.runtimes.onnxruntime import OnnxRuntime
from lorair_export.spec import GraphSpec, Lowering, chosen_lowering
from lorair_export.spec.routing_form import RoutingForm, graph_names, routing_from
from lorair_export.tensorrt.builder import EngineSpec

from lorair.checkpoints import checkpoint_of, write_checkpoint
from lorair.inference import restore
from lorair.inference.runtime import Runtime
from lorair.inference.torch_runtime import TorchRuntime
from lorair.model.router import Routing

FREE = ["split", pytest.param("split-merged", marks=pytest.mark.full), "experts", "pinned"]
# Non-square, no multiple of 2, and on both sides of the attention's window of 48.
# At two pixels a side one is left at half resolution.
SIZES = [(31, 47), (97, 40), (131, 160), (2, 2)]


def opened(exported) -> OnnxRuntime:
    return OnnxRuntime.open(str(exported.folder), "cpu")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", FREE)
def test_restores_as_torch(form_of, form, size):
    exported = form_of(form)
    torch.manual_seed(sum(size))
    images = torch.rand(5, 3, *size)
    reference = TorchRuntime(exported.model)
    known = reference.pin("rain", 5) if form == "pinned" else None
    expected, expected_gates = reference.restore(images, known)
    restored, gates = opened(exported).restore(images, None)
    assert (expected - images).abs().mean() > 0.05
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(gates, expected_gates, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", ["split", "experts"])
def test_a_named_routing_is_taken_row_by_row(form_of, form):
    """Torch's own gates and priors, one degradation after the other, in one batch."""
    exported = form_of(form)
    runtime, model = opened(exported), exported.model
    images = torch.rand(6, 3, 40, 56)
    gates = torch.eye(3)[[0, 1, 2, 2, 0, 1]]
    prior = model.mean_priors[gates.argmax(1)]
    with torch.no_grad():
        expected = model.restorer(images, prior, gates).clamp(0, 1)
    restored, told = runtime.restore(images, Routing(None, gates, prior))
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(told, gates)
    for name in ("noise", "rain", "haze"):
        found, wanted = runtime.pin(name, 2), model.pin(name, 2)
        torch.testing.assert_close((found.gates, found.prior), (wanted.gates, wanted.prior), rtol=0, atol=0)


def test_soft_gates_have_no_expert_s_graph(form_of):
    runtime = opened(form_of("experts"))
    soft = Routing(None, torch.tensor([[0.5, 0.5, 0]]), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="one 1 among zeros"):
        runtime.restore(torch.rand(1, 3, 32, 32), soft)


@pytest.mark.parametrize("form", ["split", "experts"])
def test_large_pictures_are_routed_whole(form_of, form):
    """And restored in tiles of the size that the restorer takes."""
    exported = form_of(form)
    runtime = opened(exported)
    assert isinstance(runtime, Runtime) and runtime.size_range == (2, 160)
    pixels = np.random.default_rng(0).integers(0, 256, (210, 333, 3), np.uint8)
    reference = restore([pixels], exported.model, tile=160)[0]
    restored = restore([pixels], runtime)[0]
    assert np.abs(restored.astype(int) - reference).max() <= 1
    assert runtime.manifest.graph("router").size_range == ROUTER_SIZES
    assert runtime.route(torch.zeros(1, 3, 1, 40)) is None


def test_pinned_restores_only_its_degradation(form_of):
    runtime = opened(form_of("pinned"))
    images = torch.rand(2, 3, 32, 48)
    assert set(runtime.sessions) == {"model"}
    assert runtime.route(images).gates.tolist() == [[0, 1, 0]] * 2
    torch.testing.assert_close(runtime.restore(images, runtime.pin("rain", 2)), runtime.restore(images, None))
    with pytest.raises(ValueError, match="only rain"):
        runtime.pin("haze", 1)
    with pytest.raises(ValueError, match="no other routing"):
        runtime.restore(images, Routing(None, torch.eye(3)[:2], torch.zeros(2, 4)))


def test_8_bit_images_of_a_fixed_shape(form_of):
    """Five images fill two calls of three; a level may differ where float32 sums fall on either side of a half."""
    exported = form_of("tiles")
    runtime = opened(exported)
    (graph,) = exported.manifest.graphs
    assert [(spec.dtype, spec.shape) for spec in (*graph.inputs, *graph.outputs)] == [("uint8", (3, 3, 48, 64))] * 2
    levels = torch.randint(256, (5, 3, 48, 64), generator=torch.Generator().manual_seed(0))
    expected, _ = TorchRuntime(exported.model).restore(levels / 255, exported.model.pin("haze", 5))
    restored = runtime.restore(levels / 255, None)[0] * 255
    difference = (restored - (expected * 255).round()).abs()
    assert difference.max() <= 1.001 and (difference > 0.5).float().mean() < 1e-3
    torch.testing.assert_close(restored, restored.round(), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="images of 48x64 pixels, got 64x48"):
        runtime.restore(torch.rand(1, 3, 64, 48), None)


class Plain(torch.nn.Module):
    """The network without experts: an ExpertConv2d that is called is the plain convolution."""

    def __init__(self, model) -> None:
        super().__init__()
        self.net = static_net(model, 160)

    def forward(self, image, prior):
        return self.net(image, prior).clamp(0, 1)


@pytest.fixture(scope="module")
def plain_graph(top1_model, tmp_path_factory):
    batch, sides = {0: "batch"}, {2: "height", 3: "width"}
    path = tmp_path_factory.mktemp("plain") / "plain.onnx"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "# The axis name: batch will not be used")  # both inputs have that one
        torch.onnx.export(
            Plain(top1_model).eval(), (torch.zeros(4, 3, 88, 88), torch.zeros(4, 4)), path, dynamo=True,
            opset_version=20, input_names=["image", "prior"], dynamic_shapes=({**batch, **sides}, batch), verbose=False,
        )  # fmt: skip
    return path


def multiplications(path, size=(64, 96)):
    """Multiplications of convolutions and matrix products for one image; shapes are those that a run gives."""
    graph = onnx.load(path)
    products = [node for node in graph.graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]
    graph.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in products)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {"image": np.zeros((1, 3, *size), np.float32), "prior": np.zeros((1, 4), np.float32)}
    names = [node.output[0] for node in products]
    outputs = session.run(names, {value.name: inputs[value.name] for value in session.get_inputs()})
    weights = {tensor.name: tensor.dims for tensor in graph.graph.initializer}
    assert {node.op_type for node in products} == {"Conv"}
    return sum(out.size * math.prod(weights[node.input[1]][1:]) for node, out in zip(products, outputs, strict=True))


def operators(path):
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_an_expert_costs_what_the_plain_network_costs(form_of, plain_graph, top1_model):
    folder = form_of("experts").folder
    for name in ("noise", "rain", "haze"):
        assert operators(folder / f"restorer.{name}.onnx") == operators(plain_graph)
        assert multiplications(folder / f"restorer.{name}.onnx") == multiplications(plain_graph)
    counted: list[int] = []
    net = copy.deepcopy(top1_model.restorer.net)
    for conv in (module for module in net.modules() if isinstance(module, torch.nn.Conv2d)):
        conv.register_forward_hook(lambda conv, _, out: counted.append(out.numel() * conv.weight[0].numel()))
    net(torch.zeros(1, 3, 64, 96), torch.zeros(1, 4))
    assert multiplications(plain_graph) == sum(counted)


def test_pinned_costs_less_than_the_plain_network(form_of, plain_graph):
    path = form_of("pinned").folder / "model.onnx"
    assert not operators(path) - operators(plain_graph)
    assert operators(path).total() < operators(plain_graph).total()
    assert multiplications(path) < multiplications(plain_graph)
    assert path.stat().st_size < plain_graph.stat().st_size


def test_an_engine_of_8_bit_images_builds(rtx, form_of, tmp_path):
    exported = form_of("tiles")
    folder = shutil.copytree(exported.folder, tmp_path / "bundle")
    profile = Profile(*[(3, 3, 48, 64)] * 3)
    add_engines(folder, exported.manifest, rtx, EngineSpec((profile,)))
    (graph,) = read_bundle(folder).graphs
    assert (graph.inputs, graph.outputs) == (exported.manifest.graphs[0].inputs, exported.manifest.graphs[0].outputs)
    assert graph.source in exported.manifest.files and graph.profiles == (profile,)


def test_what_the_model_does_not_allow_is_rejected(export_checkpoint, top1_model, top1_checkpoint, tmp_path):
    experts = GraphSpec(Lowering.PLAIN, routing=RoutingForm.EXPERTS)
    with pytest.raises(ValueError, match=r"mixes 2 experts .* --routing split"):
        export_onnx(export_checkpoint, tmp_path / "out", experts)
    with pytest.raises(ValueError, match="one of noise, rain, haze"):
        snow = GraphSpec(Lowering.PLAIN, routing=RoutingForm.PINNED, pinned="snow")
        export_onnx(top1_checkpoint, tmp_path / "out", snow)
    without = copy.deepcopy(top1_model)
    without.mean_priors = None
    write_checkpoint(tmp_path / "without.pt", checkpoint_of(without))
    with pytest.raises(ValueError, match="no mean priors"):
        rain = GraphSpec(Lowering.PLAIN, routing=RoutingForm.PINNED, pinned="rain")
        export_onnx(tmp_path / "without.pt", tmp_path / "out", rain)
    assert [path.name for path in tmp_path.iterdir()] == ["without.pt"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lowering": Lowering.MERGED, "max_batch": 2}, "one image per call"),
        ({"lowering": Lowering.PLAIN, "routing": RoutingForm.PINNED}, "names a degradation"),
        ({"io": "int8"}, "float32 or uint8"),
        ({"shape": (1, 64)}, "at least 2"),
    ],
)
def test_contradictions_are_rejected(options, words):
    with pytest.raises(ValueError, match=words):
        GraphSpec(**options)


@pytest.mark.parametrize("text", ["", "other", "pinned", "pinned:", "graph:rain", "split:"])
def test_routing_is_one_of_four_words(text):
    with pytest.raises(ValueError, match="pinned:NAME"):
        routing_from(text)


def test_names_and_lowerings_follow_the_form():
    assert routing_from("pinned:low_light") == (RoutingForm.PINNED, "low_light")
    assert graph_names(RoutingForm.EXPERTS, ("a", "b-c")) == ("router", "restorer.a", "restorer.b-c")
    with pytest.raises(ValueError, match="a/b"):
        graph_names(RoutingForm.EXPERTS, ("a/b",))
    for form in (RoutingForm.EXPERTS, RoutingForm.PINNED):
        assert chosen_lowering("auto", 8, form)[0] is Lowering.PLAIN
    assert chosen_lowering("auto", 1, RoutingForm.SPLIT)[0] is Lowering.MERGED
