"""`lorair-export doctor`: what is here, what is missing, and whether a bundle fits."""

import json
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import onnxruntime
import pytest
import torch
from lorair_export import cli
from lorair_export.bundle.manifest import write_manifest
from lorair_export.errors import ExportError
from lorair_export.inspection import doctor
from lorair_export.inspection.containers import CONTAINERS, tag_for, tensorrt_of
from lorair_export.inspection.doctor import misfits, parts, tensorrt_in

from lorair.errors import RuntimeUnavailableError


@pytest.fixture
def engine(merged, tmp_path):
    """A bundle that says it holds an engine."""

    def write(flavour: str, version: str, targets=("9.0",), **options):
        facts = {"flavour": flavour, "version": version, "compute_capabilities": list(targets), **options}
        folder = shutil.copytree(merged.folder, tmp_path / "engine", dirs_exist_ok=True)
        write_manifest(folder, replace(merged.manifest, runtime="tensorrt", engine=facts))
        return folder

    return write


@pytest.fixture
def gpu(monkeypatch):
    def present(capability: tuple[int, int]):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)

    return present


def test_what_is_missing_has_a_line_that_gets_it(monkeypatch):
    for name in ("openvino", "tensorrt", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    found = {part.name: part for part in parts()}
    for name, extra in (("OpenVINO", "openvino"), ("TensorRT", "tensorrt"), ("ONNX Runtime", "export")):
        assert found[name].found is None and found[name].get == f"pip install 'lorair[{extra}]'"


def test_what_is_here_is_told_with_its_version():
    found = {part.name: part.found or "" for part in parts()}
    assert found["ONNX Runtime"].startswith(onnxruntime.__version__) and "CPU" in found["ONNX Runtime"]
    assert found["torch"].startswith(torch.__version__) and "8.6" in found["TensorRT-RTX"]


def test_a_bundle_of_a_graph_runs_where_onnx_runtime_is(merged, monkeypatch):
    assert misfits(merged.folder) == []
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert misfits(merged.folder) == ["pip install 'lorair[export]'"]


def test_containers_hold_known_versions():
    for version, tag in CONTAINERS.items():
        assert tensorrt_of(tag) == tensorrt_of(tag.removesuffix("-py3")) == tensorrt_in(tag) == version
        assert tag_for(f"{version}.7") == tag
    with pytest.raises(ValueError, match=r"26\.02.*docker run .*:99\.01-py3 dpkg-query"):
        tensorrt_in("99.01")


def test_a_plan_fits_a_container_of_its_release_alone(engine):
    version, tag = next(iter(CONTAINERS.items()))
    assert misfits(engine("tensorrt", f"{version}.29"), tag) == []
    (reason,) = misfits(engine("tensorrt", "11.4.0.106"), tag)
    assert "11.4.0.106" in reason and version in reason
    (reason,) = misfits(engine("rtx", "1.7.1"), tag)
    assert "classic TensorRT" in reason


def test_an_engine_here_needs_its_gpu_and_its_version(engine, gpu, monkeypatch):
    monkeypatch.setattr(doctor, "find_tensorrt", lambda kind: SimpleNamespace(version="11.4.0.106"))
    folder = engine("tensorrt", "11.4.0.106")
    gpu((9, 0))
    assert misfits(folder) == []
    gpu((8, 6))
    assert "built for compute capability 9.0, here is 8.6" in misfits(folder)[0]
    gpu((9, 0))
    assert "built with TensorRT 10.15.1, here is 11.4.0.106" in misfits(engine("tensorrt", "10.15.1"))[0]


def test_a_compatible_engine_runs_on_later_gpus_and_versions_alone(engine, gpu, monkeypatch):
    monkeypatch.setattr(doctor, "find_tensorrt", lambda kind: SimpleNamespace(version="11.4.0.106"))
    options = {"hw_compat": "ampere+", "version_compatible": True}
    for capability, version, fits in [((12, 0), "10.15.1.29", True), ((7, 5), "11.4.0.106", False)]:
        gpu(capability)
        assert (misfits(engine("tensorrt", version, **options)) == []) is fits
    gpu((8, 0))
    assert "built with TensorRT 11.10.0.1" in misfits(engine("tensorrt", "11.10.0.1", **options))[0]
    assert "built with TensorRT 1.7.0.1" in misfits(engine("rtx", "1.7.0.1", **options))[0]


def test_a_container_takes_earlier_compatible_plans_and_none_without_weights(engine):
    version, tag = next(iter(CONTAINERS.items()))
    assert misfits(engine("tensorrt", "9.0.0.1", version_compatible=True), tag) == []
    (reason,) = misfits(engine("tensorrt", f"{version}.7", strip_weights=True), tag)
    assert "--strip-weights" in reason


def test_an_engine_without_a_gpu_or_library(engine, monkeypatch):
    def missing(kind):
        raise RuntimeUnavailableError("no TensorRT can be imported")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "find_tensorrt", missing)
    library, device = misfits(engine("tensorrt", "10.15.1"))
    assert "no TensorRT" in library and "torch sees none" in device


def test_a_damaged_bundle_is_no_misfit(tmp_path):
    with pytest.raises(ExportError):
        misfits(tmp_path)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["lorair-export", "doctor", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code
    return 0


def test_command(merged, engine, monkeypatch, capsys):
    assert run(monkeypatch, "--bundle", merged.folder, "--triton-tag", "26.02") == 0
    told = capsys.readouterr().out
    assert "holds TensorRT 10.15.1" in told and "runs in Triton's container 26.02" in told
    assert run(monkeypatch, "--bundle", engine("tensorrt", "11.4.0"), "--triton-tag", "26.02", "--json") == 3
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["bundle"]["runs"] is False and told["triton"]["tensorrt"] == "10.15.1"
    assert printed.err.startswith("error: ") and "inside that container" in printed.err
    assert run(monkeypatch, "--triton-tag", "1.0") == 2
