"""Which TensorRT is found, and what its attributes show of it."""

import sys
from types import ModuleType

import pytest
import torch
from lorair_export.tensorrt import Flavour, find_tensorrt

from lorair.errors import RuntimeUnavailableError


def test_traits_of_a_weakly_typed_classic(classic) -> None:
    flavour = Flavour(classic("10.16.1.11", FP16=2))
    assert (flavour.name, flavour.version, flavour.compute_capabilities) == ("tensorrt", "10.16.1.11", ())
    assert flavour.network_flags() == 0b10


def test_traits_of_a_strongly_typed_classic(classic) -> None:
    flavour = Flavour(classic("11.4.0.106"))
    assert (flavour.name, flavour.compute_capabilities, flavour.network_flags()) == ("tensorrt", (), 0)


def test_traits_of_rtx(rtx) -> None:
    assert rtx.name == "rtx"
    assert {"8.6", "8.9", "12.0"} <= set(rtx.compute_capabilities)
    assert "9.0" not in rtx.compute_capabilities
    assert rtx.network_flags() == 0


def test_a_missing_library_names_what_to_install(monkeypatch) -> None:
    def missing_module(name: str) -> ModuleType:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("lorair_export.tensorrt.flavour.importlib.import_module", missing_module)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'lorair\[rtx\]'") as missing:
        find_tensorrt("rtx")
    assert missing.value.exit_code == 3
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'lorair\[tensorrt\]'"):
        find_tensorrt("auto")


def test_classic_without_a_gpu_is_an_error_before_the_export(monkeypatch, tmp_path, capsys, classic, run_command):
    monkeypatch.setitem(sys.modules, "tensorrt", classic("11.4.0.106"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    target = tmp_path / "bundle"
    arguments = ["--ckpt", str(tmp_path / "nowhere.pt"), "-o", str(target), "--backend", "tensorrt"]
    assert run_command("lorair-export", "trt", *arguments) == 3
    printed = capsys.readouterr().err
    assert "torch sees none" in printed and "--backend rtx" in printed
    assert list(tmp_path.iterdir()) == []
