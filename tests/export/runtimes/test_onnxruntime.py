"""A bundle as a runtime: the same images as torch, and an error with a way out where it cannot."""

import shutil
import sys

import onnxruntime
import pytest
import torch
from lorair_export.errors import ExportError
from lorair_export.graph.session import cpu_session, opened_session
from lorair_export.runtimes.onnxruntime import OnnxRuntime
from onnx import TensorProto, helper

from lorair.errors import RuntimeUnavailableError
from lorair.inference.runtime import Runtime
from lorair.inference.torch_runtime import TorchRuntime
from lorair.model.router import Routing


@pytest.fixture(scope="module")
def runtime(exported):
    return OnnxRuntime.open(str(exported.folder), "cpu")


def test_is_a_runtime_that_says_what_it_takes(runtime):
    assert isinstance(runtime, Runtime)
    assert (runtime.name, runtime.degradations, runtime.size_range) == ("onnx", ("noise", "rain", "haze"), (2, 160))
    assert runtime.route(torch.rand(1, 3, 32, 32)) is None


@pytest.mark.parametrize("batch", [1, 3, 6])
def test_restores_batches_of_any_length(runtime, exported, batch):
    """Six exceed the low-rank graph's four; the merged graph takes one."""
    torch.manual_seed(batch)
    images = torch.rand(batch, 3, 33, 58).to(memory_format=torch.channels_last)
    expected, expected_gates = TorchRuntime(exported.model).restore(images, None)
    restored, gates = runtime.restore(images, None)
    assert restored.dtype == torch.float32
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(gates, expected_gates, rtol=0, atol=1e-5)


def test_accepts_bundles_and_their_graphs_only(exported, tmp_path):
    assert OnnxRuntime.accepts(str(exported.folder))
    assert OnnxRuntime.accepts(str(exported.folder / "model.onnx"))
    for other in (tmp_path, tmp_path / "best.pt", "default", "triton://host:8001/name"):
        assert not OnnxRuntime.accepts(str(other))


def test_a_graph_opens_by_its_own_name(exported):
    assert OnnxRuntime.open(str(exported.folder / "model.onnx"), "cpu").degradations == ("noise", "rain", "haze")


def test_a_changed_graph_is_not_opened(exported, tmp_path):
    folder = shutil.copytree(exported.folder, tmp_path / "bundle")
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ExportError, match=r"model\.onnx"):
        OnnxRuntime.open(str(folder), "cpu")


def test_a_graph_without_its_manifest_is_not_opened(exported, tmp_path):
    shutil.copy(exported.folder / "model.onnx", tmp_path)
    with pytest.raises(ExportError, match=r"manifest\.json"):
        OnnxRuntime.open(str(tmp_path / "model.onnx"), "cpu")


@pytest.mark.parametrize("size", [(1, 32), (32, 1), (161, 32), (32, 4000)])
def test_sizes_out_of_range_are_rejected(runtime, size):
    with pytest.raises(ValueError, match=rf"2 to 160 pixels, got {size[0]}x{size[1]}"):
        runtime.restore(torch.rand(1, 3, *size), None)


@pytest.mark.parametrize("images", [torch.rand(3, 32, 32), torch.rand(1, 1, 32, 32), torch.rand(1, 3, 32, 32).double()])
def test_other_tensors_are_rejected(runtime, images):
    with pytest.raises(ValueError, match="float32"):
        runtime.restore(images, None)


def test_it_routes_by_itself(runtime):
    routing = Routing(None, torch.tensor([[1.0, 0, 0]]), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="routes inside"):
        runtime.restore(torch.rand(1, 3, 32, 32), routing)
    with pytest.raises(ValueError, match="use the checkpoint"):
        runtime.pin("rain", 1)


def test_an_unavailable_gpu_is_an_error(exported, monkeypatch):
    """ONNX Runtime falls back to the CPU without a warning, so the session is asked what it runs on."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda session: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeUnavailableError, match="--device cpu") as caught:
        OnnxRuntime.open(str(exported.folder), "cuda")
    assert caught.value.exit_code == 3


def test_a_missing_package_names_the_extra(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'lorair\[export\]'"):
        OnnxRuntime.open(str(exported.folder), "cpu")


def test_a_graph_that_onnx_runtime_rejects_is_one_sentence(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(
        ExportError, match=r"^ours: ONNX Runtime \S+ by CPUExecutionProvider rejects this graph: .*"
    ) as caught:
        opened_session(tmp_path / "model.onnx", "ours")
    assert "\n" not in str(caught.value)
    node = helper.make_node("Unheard", ["image"], ["restored"], domain="elsewhere")
    borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("image", "restored")]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("elsewhere", 1)]
    model = helper.make_model(
        helper.make_graph([node], "ours", *[[b] for b in borders]), opset_imports=opsets, ir_version=10
    )
    with pytest.raises(ExportError, match=r"^ours: .*Unheard"):
        cpu_session(model)


def test_a_provider_that_fails_is_not_replaced_by_another(tmp_path, monkeypatch, capsys):
    asked = []

    def create(session, providers, *options):
        asked.append(providers)
        raise RuntimeError("CUDA failure 35:\nCUDA driver version is insufficient")

    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", create)
    with pytest.raises(RuntimeUnavailableError, match=r"by CUDAExecutionProvider .* 35: CUDA driver version"):
        opened_session(tmp_path / "model.onnx", "ours", "CUDAExecutionProvider", {"device_id": 0})
    assert asked == [[("CUDAExecutionProvider", {"device_id": 0})]]
    assert capsys.readouterr().out == ""
