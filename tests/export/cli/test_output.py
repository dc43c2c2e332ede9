"""`--dry-run`, `--json`, `--log-file` and `--quiet` of the commands that write bundles."""

import logging
import warnings
from pathlib import Path

import onnx
import pytest
from lorair_export.bundle import file_sha256, manifest
from lorair_export.cli.exported import Exported
from lorair_export.cli.output import opened_output
from lorair_export.pipeline import ExportPlan, sources
from lorair_export.pipeline.plan import weight_bytes
from lorair_export.spec import GraphSpec, Lowering
from lorair_export.spec.routing_form import RoutingForm
from onnx.numpy_helper import to_array


@pytest.fixture
def command(merged, graph_of_merged, monkeypatch, tmp_path, run_command):
    """Run a command in an empty folder; the graph is the one that the session has exported already."""
    monkeypatch.chdir(tmp_path)

    def run(verb, *options, ckpt=merged.checkpoint):
        return run_command("lorair-export", verb, "--ckpt", ckpt, "-o", "out", *options)

    return run


def test_a_dry_run_prints_the_plan_and_writes_nothing(command, tmp_path, capsys, read_json):
    assert command("onnx", "--dry-run", "--max-batch", "4", "--min-size", "32", "--max-size", "64") == 0
    told = capsys.readouterr().err
    assert "lowering: low-rank" in told and "up to 4 of 32 to 64 pixels a side" in told
    assert "weights: about 0." in told and "averages over" not in told
    assert command("onnx", "--dry-run", "--tile", "32") == 0
    assert "averages over 48 pixels, images here have at most 32" in capsys.readouterr().err
    assert command("trt", "--dry-run", "--backend", "rtx", "--opt-shape", "1x3x64x96", "--json") == 0
    told = read_json(ExportPlan, capsys.readouterr().out)
    assert told["engine"]["compute_capabilities"] == ["8.6", "8.9", "12.0"]
    assert (told["max_batch"], told["shape"], told["graphs"]) == (1, [64, 96], ["model"])
    assert told["largest_tensor_mib"] == round(2 * 16 * 64 * 96 * 4 / 2**20, 1)  # twice the width of the test model
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_from_a_bundle(command, merged, capsys):
    assert command("trt", "--dry-run", "--backend", "rtx", "--opt-shape", "1x3x64x64", ckpt=merged.folder) == 0
    assert "1x3x64x64 .. 1x3x64x64 .. 1x3x64x64" in capsys.readouterr().err
    assert command("trt", "--dry-run", "--backend", "rtx", "--clip-weights", "clip.pt", ckpt=merged.folder) == 2
    assert "--clip-weights goes with a checkpoint" in capsys.readouterr().err


def test_a_bundle_is_read_and_hashed_once(command, merged, monkeypatch):
    hashed: list[Path] = []

    def sha256(path: Path) -> str:
        hashed.append(path)
        return file_sha256(path)

    monkeypatch.setattr(manifest, "file_sha256", sha256)
    assert command("trt", "--dry-run", "--backend", "rtx", ckpt=merged.folder) == 2  # 512 pixels are too many
    assert hashed == [merged.folder / "model.onnx"]
    assert command("trt", "--dry-run", "--backend", "rtx", "--imgsz", "64", ckpt=merged.folder) == 0
    assert hashed == [merged.folder / "model.onnx"] * 2


def test_a_checkpoint_is_loaded_once(command, merged, monkeypatch, tmp_path):
    loaded: list[str] = []

    def load(path, device, clip_weights):
        loaded.append(str(path))
        return merged.model

    monkeypatch.setattr(sources, "load", load)
    for options in (("onnx", "--dry-run"), ("onnx", "--max-size", "160"), ("trt", "--dry-run", "--backend", "rtx")):
        assert command(*options, "--overwrite") == 0
        assert loaded == [str(merged.checkpoint)]
        loaded.clear()


def test_a_dry_run_rejects_what_the_export_rejects(command, tmp_path):
    assert command("onnx", "--dry-run", "--lowering", "merged", "--max-batch", "4") == 2
    for form in ("experts", "pinned:typo"):  # the model mixes two
        assert command("onnx", "--dry-run", "--routing", form) == 2
    assert command("onnx", "--dry-run", ckpt="nowhere.pt") == 1
    (tmp_path / "out").mkdir()
    assert command("onnx", "--dry-run") == 4


def test_planned_weights_are_those_of_the_graph(exported):
    spec = GraphSpec(Lowering(exported.manifest.lowering), max_batch=exported.manifest.max_batch)
    graph = onnx.load(exported.folder / "model.onnx").graph
    held = sum(to_array(tensor).nbytes for tensor in graph.initializer)
    assert weight_bytes(exported.model, spec) == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_planned_weights_in_8_bits(form_of, precision):
    exported = form_of("pinned", precision)
    spec = GraphSpec(Lowering.PLAIN, precision, routing=RoutingForm.PINNED, pinned="rain")
    graph = onnx.load(exported.folder / "model.onnx").graph
    held = sum(to_array(tensor).nbytes for tensor in graph.initializer)
    assert weight_bytes(exported.model, spec) == pytest.approx(held, rel=0.2)


def test_json_says_what_was_written(command, merged, tmp_path, capsys, read_json):
    assert command("onnx", "--no-check", "--quiet", "--json", "--max-size", "160") == 0
    printed = capsys.readouterr()
    told = read_json(Exported, printed.out)
    assert printed.err == "" and told["manifest"]["files"] == merged.manifest.files
    assert told["bytes"] == {"out/model.onnx": (tmp_path / "out" / "model.onnx").stat().st_size}


def test_a_log_keeps_what_is_printed_and_how_it_ended(command, tmp_path, capsys):
    log = tmp_path / "log.txt"
    options = ("--no-check", "--quiet", "--log-file", log, "--max-size", "160")
    assert command("onnx", *options) == 0 and command("onnx", *options) == 4
    lines = log.read_text().splitlines()
    assert sum("lowering: merged" in line for line in lines) == 2 and any("exporting" in line for line in lines)
    assert "ended by ExportError: out exists" in lines[-1]
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, logging.FileHandler)]
    assert not any(handler.baseFilename == str(log) for handler in handlers)
    assert capsys.readouterr().err.startswith("error: ")


def test_a_log_that_cannot_be_written_is_one_line(command, tmp_path, capsys):
    assert command("onnx", "--log-file", "nowhere/log.txt", "--max-size", "160") == 3
    assert capsys.readouterr().err.splitlines()[-1].endswith("nowhere/log.txt: No such file or directory")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize("logged", [True, False])
def test_warnings_of_libraries_are_printed_unless_quiet_and_logged(tmp_path, capsys, quiet, logged):
    log = tmp_path / "log.txt"
    with opened_output(quiet=quiet, log_file=log if logged else None):
        logging.getLogger("a.library").warning("slow path")
        warnings.warn("old option", FutureWarning, stacklevel=1)
        logging.getLogger("a.library").error("lost path")
    told = capsys.readouterr().err
    assert ("warning: slow path\n" in told) == ("FutureWarning: old option" in told) == (not quiet)
    assert told.count("error: lost path\n") == 1
    if logged:
        kept = log.read_text()
        assert "WARNING a.library: slow path" in kept and "FutureWarning: old option" in kept
    showing = warnings.showwarning
    with opened_output():
        assert warnings.showwarning is not showing
    assert warnings.showwarning is showing
