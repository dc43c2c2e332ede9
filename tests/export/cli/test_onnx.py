"""`lorair-export onnx`: exit codes, what it prints, and what it leaves behind."""

import shutil
import sys

import pytest
from lorair_export.bundle import parity, read_bundle
from lorair_export.bundle.parity import Tolerance

from lorair.photographs import examples


@pytest.fixture
def export(merged, graph_of_merged, monkeypatch, tmp_path, run_command):
    """Run the command in an empty folder; the graph is the one that the session has exported already."""
    monkeypatch.chdir(tmp_path)

    def run(*options, ckpt=merged.checkpoint):
        return run_command("lorair-export", "onnx", "--ckpt", ckpt, "-o", "out", "--max-size", "160", *options)

    return run


def test_a_bundle_that_passes(export, tmp_path, capsys):
    assert export() == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["manifest.json", "model.onnx"]
    said = capsys.readouterr().err
    for words in ("lowering: merged", "wrote out/model.onnx", "accuracy: 1", "160x160", "next: lorair restore"):
        assert words in said


def test_quiet_is_quiet(export, capsys):
    assert export("--quiet", "--no-check") == 0
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_unchecked_says_so(export, capsys):
    assert export("--no-check") == 0
    assert "accuracy: not checked" in capsys.readouterr().err


def test_own_photographs(export, tmp_path):
    (tmp_path / "mine").mkdir()
    shutil.copy(examples()[0], tmp_path / "mine" / "one.jpg")
    assert export("--photos", "mine") == 0
    assert '"one.jpg"' in (tmp_path / "out" / "manifest.json").read_text()


def test_a_folder_without_photographs_is_wrong_usage(export, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert export("--photos", "mine") == 2
    assert "no photographs" in capsys.readouterr().err


def test_falling_short_of_parity_leaves_nothing(export, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(parity.TOLERANCES, "fp32", Tolerance(psnr_db=201, levels=0, gates=0))
    assert export() == 6
    assert list(tmp_path.iterdir()) == []
    assert "accuracy check failed" in capsys.readouterr().err


def test_an_existing_bundle_is_kept_without_overwrite(export, tmp_path, capsys):
    assert export("--no-check") == 0
    assert export("--no-check") == 4
    assert "--overwrite" in capsys.readouterr().err
    assert export("--no-check", "--overwrite") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "options",
    [
        ("--lowering", "merged", "--max-batch", "4"),
        ("--min-size", "200"),
        ("--lowering", "other"),
        ("--opset", "23"),
        ("--routing", "other"),
        ("--routing", "experts"),  # the model mixes two
        ("--routing", "pinned:rain", "--lowering", "merged"),
        ("--batch", "2", "--max-batch", "3"),
        ("--imgsz", "64x64"),
        ("--imgsz", "64", "--tile", "64"),
    ],
)
def test_wrong_usage(export, tmp_path, options):
    assert export(*options) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--imgsz", "64"), "--min-size and --max-size are a range"),  # the fixture gives --max-size
        (("--calib-size", "8"), "nothing is quantised"),
        (("--photos", ".", "--no-check"), "--no-check checks nothing"),
        (("--max-batch", "4", "--tile", "64"), "give --batch for its size"),
        (("--max-batch", "4", "--batch", "4"), "give --batch for its size"),
    ],
)
def test_what_would_have_no_effect_is_rejected(export, tmp_path, capsys, options, told):
    assert export(*options) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_no_such_checkpoint(export, capsys):
    assert export(ckpt="nowhere.pt") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: nowhere.pt: no such checkpoint"
    assert export(ckpt=".") == 1


def test_a_missing_package(export, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert export() == 3
    assert "pip install 'lorair[export]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_degradation_in_tiles(merged, run_command, tmp_path, capsys):
    target = tmp_path / "out"
    words = ["--ckpt", merged.checkpoint, "-o", target, "--routing", "pinned:rain", "--tile", "32", "--batch", "2"]
    assert run_command("lorair-export", "onnx", *words, "--io", "uint8") == 0
    said = capsys.readouterr().err
    for expected in ("lowering: plain", "--routing pinned", "averages over 48 pixels, images here have at most 32"):
        assert expected in said
    (graph,) = read_bundle(target).graphs
    assert (graph.fixed_batch, graph.shape, graph.inputs[0].dtype) == (2, (32, 32), "uint8")
