"""A bundle through OpenVINO: the same images as torch, in float32 and with a restorer in bfloat16."""

import sys
from types import SimpleNamespace

import onnx
import onnxruntime
import openvino
import pytest
import torch
from lorair_export.bench.latency.columns import label
from lorair_export.bundle import TOLERANCES, check, compare, psnr_db
from lorair_export.errors import ExportError
from lorair_export.runtimes.openvino import OpenVinoRuntime
from lorair_export.runtimes.openvino_graph import parts_of
from onnx import TensorProto, helper

from lorair.errors import RuntimeUnavailableError
from lorair.inference.runtime import Runtime, open_runtime
from lorair.inference.torch_runtime import TorchRuntime
from lorair.photographs import examples


@pytest.fixture(scope="module", params=["merged", pytest.param("low-rank", marks=pytest.mark.full)])
def exported(request, form_of):
    return form_of(request.param)


@pytest.fixture(scope="module")
def runtime(exported):
    return open_runtime(f"openvino:{exported.folder}", "cpu")


@pytest.mark.parametrize("batch", [1, 3, 6])
def test_restores_what_torch_restores(runtime, exported, batch):
    """Six exceed the low-rank graph's four; the merged graph takes one."""
    assert isinstance(runtime, Runtime) and isinstance(runtime, OpenVinoRuntime)
    images = torch.rand(batch, 3, 33, 58, generator=torch.Generator().manual_seed(batch))
    expected, expected_gates = TorchRuntime(exported.model).restore(images, None)
    restored, gates = runtime.restore(images, None)
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(gates, expected_gates, rtol=0, atol=1e-4)


def test_is_within_the_parity_of_float32(runtime, exported):
    assert runtime.precision == "fp32"
    check(compare(TorchRuntime(exported.model), runtime, examples()[:2]), runtime.precision)


def test_bfloat16_is_taken_where_the_processor_has_it(exported):
    """Then the restorer is rounded and the router is not."""
    target = f"openvino-bf16:{exported.folder}"
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(RuntimeUnavailableError, match="AVX512-BF16"):
            OpenVinoRuntime.open(target)
        return
    images = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    expected, expected_gates = TorchRuntime(exported.model).restore(images, None)
    runtime = OpenVinoRuntime.open(target)
    restored, gates = runtime.restore(images, None)
    assert runtime.precision == "bf16"
    assert TOLERANCES["bf16"].psnr_db < psnr_db(expected, restored) < TOLERANCES["fp32"].psnr_db
    torch.testing.assert_close(gates, expected_gates, rtol=0, atol=1e-5)


def test_bfloat16_is_unavailable_where_the_processor_lacks_it(exported, monkeypatch):
    facts = {"OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"], "FULL_DEVICE_NAME": "an old processor"}
    monkeypatch.setattr(openvino, "Core", lambda: SimpleNamespace(get_property=lambda device, name: facts[name]))
    with pytest.raises(RuntimeUnavailableError, match="an old processor has neither; use openvino:") as rejected:
        OpenVinoRuntime.open(f"openvino-bf16:{exported.folder}")
    assert rejected.value.exit_code == 3


def test_a_graph_cut_after_its_router_computes_the_same(exported):
    """By ONNX Runtime, which runs the whole graph too."""
    model = onnx.load(exported.folder / "model.onnx")
    image = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1)).numpy()
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(["restored", "gates"], {"image": image})
    known = {"image": image}
    hints = []
    for part, hint in parts_of(model):
        session = onnxruntime.InferenceSession(part.SerializeToString())
        names = [value.name for value in session.get_outputs()]
        feeds = {value.name: known[value.name] for value in session.get_inputs()}
        known |= dict(zip(names, session.run(names, feeds), strict=True))
        hints.append(hint)
    assert hints == ["f32", "bf16"]
    for name, right in zip(("restored", "gates"), expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(known[name]), torch.from_numpy(right), rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", ["pinned", pytest.param("split", marks=pytest.mark.full)])
def test_other_forms_of_routing_restore_what_torch_restores(form_of, form):
    bundle = form_of(form)
    reference = TorchRuntime(bundle.model)
    images = torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(2))
    expected, expected_gates = reference.restore(images, reference.pin("rain", 1) if form == "pinned" else None)
    restored, gates = OpenVinoRuntime.open(f"openvino:{bundle.folder}").restore(images, None)
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(gates, expected_gates, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("part", "hint"), [("router", "f32"), ("restorer", "bf16")])
def test_of_graphs_apart_only_the_restorer_is_rounded(part, hint):
    image, output = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("image", "output"))
    node = helper.make_node("Relu", ["image"], ["output"], name=f"{part}/relu")
    graph = helper.make_model(helper.make_graph([node], part, [image], [output]))
    assert parts_of(graph) == [(graph, hint)]


def test_accepts_only_its_own_scheme():
    assert all(map(OpenVinoRuntime.accepts, ("openvino:bundle", "openvino-bf16:bundle/model.onnx")))
    assert not any(map(OpenVinoRuntime.accepts, ("bundle", "openvino", "openvino/model.onnx", "triton://host/name")))


def test_a_gpu_or_a_folder_without_a_bundle_is_rejected(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RuntimeUnavailableError, match="on the CPU and not on cuda"):
        OpenVinoRuntime.open(f"openvino:{exported.folder}", "cuda")
    with pytest.raises(ExportError, match=r"manifest\.json"):
        OpenVinoRuntime.open(f"openvino:{tmp_path}")


def test_a_graph_that_openvino_rejects_is_one_sentence(exported, monkeypatch):
    def reject(core, model, device, options):
        raise RuntimeError("Check failed at src/graph.cpp:1:\n  no memory for it\n")

    monkeypatch.setattr(openvino.Core, "compile_model", reject)
    with pytest.raises(RuntimeUnavailableError, match=r"^OpenVINO cannot run .*\.onnx: no memory for it; try "):
        OpenVinoRuntime.open(f"openvino:{exported.folder}")


def test_a_missing_package_names_the_extra(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'lorair\[openvino\]'"):
        OpenVinoRuntime.open(f"openvino:{exported.folder}")


def test_a_report_names_the_runtime_of_each_model():
    models = ("runs/best.pt", "openvino-bf16:demo/bundle", "published:best.pt", "triton://host:8001/lorair")
    assert [label(model) for model in models] == [
        "best.pt",
        "openvino-bf16:bundle",
        "published:best.pt",
        "lorair",
    ]


def test_convolutions_of_an_8_bit_bundle_are_computed_in_8_bits(form_of):
    """By what OpenVINO says of the kernels it took, and within the tolerance of int8 on unseen photographs."""
    exported = form_of("pinned", "int8")
    runtime = OpenVinoRuntime.open(f"openvino:{exported.folder}")
    check(compare(TorchRuntime(exported.model), runtime, examples()[3:5], 1, "rain"), "int8")
    (step,) = runtime.compiled["model"].compiled
    nodes = [node.get_rt_info() for node in step.get_runtime_model().get_ops()]
    kernels = [node["primitiveType"].value for node in nodes if "Convolution" in node["layerType"].value]
    assert sum(kernel.endswith("I8") for kernel in kernels) > 0.8 * len(kernels) > 10
