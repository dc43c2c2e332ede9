"""`lorair-export doctor`: what is here, what is missing, and whether a bundle fits."""

import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import onnxruntime
import pytest
import torch
from lorair_export.bundle import EngineRecord, write_manifest
from lorair_export.errors import ExportError
from lorair_export.inspection import doctor
from lorair_export.inspection.components import components
from lorair_export.inspection.doctor import Diagnosis, obstacles

from lorair.errors import RuntimeUnavailableError


@pytest.fixture
def engine(merged, tmp_path):
    """A bundle that says it holds an engine."""

    def write(flavour: str, version: str, targets=("9.0",), **options):
        record = EngineRecord(flavour, version, targets, **options)
        folder = shutil.copytree(merged.folder, tmp_path / "engine", dirs_exist_ok=True)
        write_manifest(folder, replace(merged.manifest, runtime="tensorrt", engine=record))
        return folder

    return write


@pytest.fixture
def gpu(monkeypatch):
    def present(capability: tuple[int, int]):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)

    return present


def test_what_is_missing_has_a_command_that_installs_it(monkeypatch):
    for name in ("openvino", "tensorrt", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    found = {each.name: each for each in components()}
    for name, extra in (("OpenVINO", "openvino"), ("TensorRT", "tensorrt"), ("ONNX Runtime", "export")):
        assert found[name].found is None and found[name].install == f"pip install 'lorair[{extra}]'"


def test_what_is_here_has_its_version():
    found = {each.name: each.found or "" for each in components()}
    assert found["ONNX Runtime"].startswith(onnxruntime.__version__) and "CPU" in found["ONNX Runtime"]
    assert found["torch"].startswith(torch.__version__) and "8.6" in found["TensorRT-RTX"]


def test_a_bundle_of_a_graph_runs_where_onnx_runtime_is(merged, monkeypatch):
    assert obstacles(merged.folder) == []
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert obstacles(merged.folder) == ["pip install 'lorair[export]'"]


def test_an_engine_here_needs_its_gpu_and_its_version(engine, gpu, monkeypatch):
    monkeypatch.setattr(doctor, "find_tensorrt", lambda kind: SimpleNamespace(version="11.4.0.106"))
    folder = engine("tensorrt", "11.4.0.106")
    gpu((9, 0))
    assert obstacles(folder) == []
    gpu((8, 6))
    assert "built for compute capability 9.0, this GPU has 8.6" in obstacles(folder)[0]
    gpu((9, 0))
    assert "built with TensorRT 10.15.1, this machine has 11.4.0.106" in obstacles(engine("tensorrt", "10.15.1"))[0]


def test_a_compatible_engine_runs_on_later_gpus_and_versions_only(engine, gpu, monkeypatch):
    monkeypatch.setattr(doctor, "find_tensorrt", lambda kind: SimpleNamespace(version="11.4.0.106"))
    options = {"hw_compat": "ampere+", "version_compatible": True}
    for capability, version, fits in [((12, 0), "10.15.1.29", True), ((7, 5), "11.4.0.106", False)]:
        gpu(capability)
        assert (obstacles(engine("tensorrt", version, **options)) == []) is fits
    gpu((8, 0))
    assert "built with TensorRT 11.10.0.1" in obstacles(engine("tensorrt", "11.10.0.1", **options))[0]
    assert "built with TensorRT 1.7.0.1" in obstacles(engine("rtx", "1.7.0.1", **options))[0]


def test_an_engine_without_a_gpu_or_library(engine, monkeypatch):
    def missing(kind):
        raise RuntimeUnavailableError("no TensorRT can be imported")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "find_tensorrt", missing)
    library, device = obstacles(engine("tensorrt", "10.15.1"))
    assert "no TensorRT" in library and "torch sees none" in device


def test_a_damaged_bundle_is_an_error(tmp_path):
    with pytest.raises(ExportError):
        obstacles(tmp_path)


def test_command(merged, engine, run_command, read_json, capsys):
    assert run_command("lorair-export", "doctor", "--bundle", merged.folder) == 0
    assert f"{merged.folder} runs here" in capsys.readouterr().out
    assert run_command("lorair-export", "doctor", "--bundle", engine("tensorrt", "11.4.0"), "--json") == 3
    printed = capsys.readouterr()
    found = read_json(Diagnosis, printed.out)
    assert found["bundle"]["runs"] is False and found["components"][0]["name"] == "Python"
    assert printed.err.startswith("error: ") and "does not run here" in printed.err
    assert run_command("lorair-export", "doctor", "--json") == 0
    assert read_json(Diagnosis, capsys.readouterr().out)["bundle"] is None
