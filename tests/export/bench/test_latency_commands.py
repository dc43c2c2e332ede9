"""`lorair-bench latency` and `restorer`: what they write, print and end with."""

from pathlib import Path

import pytest
from lorair_export.bench import LatencyRecord, Plan, Rounds, read_record
from lorair_export.bench.latency import restorer_models, run
from lorair_export.bench.latency.cases import Case
from lorair_export.bench.latency.cold_start import ColdStart
from lorair_export.bench.published_runtime import PublishedRuntime
from lorair_export.cli.latency_options import cases_of
from lorair_export.errors import ExportError
from lorair_export.runtimes import OnnxRuntime

from lorair.checkpoints import read_checkpoint
from lorair.errors import RuntimeUnavailableError
from lorair.inference import TorchRuntime
from lorair.model import PRESETS

FORMS = {"published": "published:{checkpoint}", "torch": "{checkpoint}", "OpenVINO": "nowhere"}
GRAPHS = {"ONNX Runtime": "{bundle}", "int8": "{int8}"}


@pytest.fixture
def no_fresh_process(monkeypatch):
    monkeypatch.setattr(run, "cold_start", lambda *asked: ColdStart(1.0, 2.0, 3.0, None))


def test_sizes_and_batches_make_cases() -> None:
    assert cases_of(["64x48", "4x32x16", "20"], [1, 2]) == [
        Case(64, 48, 1), Case(64, 48, 2), Case(32, 16, 4), Case(20, 20, 1), Case(20, 20, 2)
    ]  # fmt: skip
    for wrong in ("x64", "0x64x64", "2x3x4x5", "64x", "4x64xa"):
        with pytest.raises(ValueError, match="--size is height x width"):
            cases_of([wrong], [1])


@pytest.mark.parametrize(("error", "exit_code"), [(0.0, 0), (0.5, 6)])
def test_a_wrong_output_is_an_exit_code(
    fake, monkeypatch, tmp_path, run_command, read_json, capsys, no_fresh_process, error, exit_code
) -> None:
    pytest.importorskip("matplotlib")
    runtimes = {"best.pt": fake(), "bundle": fake("onnx", error=error)}
    monkeypatch.setattr(run, "open_runtime", lambda target, device: runtimes[target])
    options = ["--size", "32x48", "--size", "64", "--batch", "2", "--iters", "2", "--warmup", "0"]
    models = ["--model", "best.pt", "--model", "bundle"]
    assert run_command("lorair-bench", "latency", *models, *options, "-o", tmp_path) == exit_code
    printed = capsys.readouterr()
    assert "p50 ms" in printed.out and "separate calls" in printed.out
    assert ("no figure for bundle at 2x3x32x48: wrong output" in printed.err) is bool(exit_code)
    read = read_record(tmp_path / "latency.json")
    assert [row.case for row in read.rows[::2]] == [Case(32, 48, 2), Case(64, 64, 2)]
    assert read.rows[0].first_call_ms == 2.0
    assert {"processor", "cores", "versions", "threads", "commit"} <= set(read.machine)
    assert run_command("lorair-bench", "latency", *models, *options, "--json") == exit_code
    plain = read_json(LatencyRecord, capsys.readouterr().out)
    assert plain["rows"][0]["case"] == {"height": 32, "width": 48, "batch": 2} and plain["reference"] == "best.pt"


def test_what_has_no_memory_is_a_reason_and_the_rest_is_written(fake, monkeypatch, tmp_path) -> None:
    """The bundle's fresh process dies, and at 64 pixels the reference itself has no memory."""
    pytest.importorskip("matplotlib")
    reference = fake()
    restore = reference.restore

    def exceeding(images, routing):
        if images.shape[-1] == 64:
            raise MemoryError("64 pixels")
        return restore(images, routing)

    def start(target, *asked):
        if target == "bundle":
            raise ExportError("a fresh process died")
        return ColdStart(1.0, 2.0, 3.0, None)

    reference.restore = exceeding
    runtimes = {"best.pt": reference, "bundle": fake("onnx")}
    plan = Plan([Case(32, 48), Case(64, 64)], Rounds(0, 2))
    monkeypatch.setattr(run, "cold_start", start)
    run.benchmark(runtimes, {name: name for name in runtimes}, plan, tmp_path, None, lambda step: None)
    assert [(row.calls, row.reason) for row in read_record(tmp_path / "latency.json").rows] == [
        (2, None), (0, "a fresh process died"), (0, "MemoryError: 64 pixels"), (0, "MemoryError: 64 pixels")
    ]  # fmt: skip


def test_a_report_that_cannot_be_written_ends_before_models_are_opened(monkeypatch, tmp_path, run_command, capsys):
    (tmp_path / "report").write_text("a file")
    opened = []
    monkeypatch.setattr(run, "open_runtime", lambda *asked: opened.append(asked))
    assert run_command("lorair-bench", "latency", "--model", "best.pt", "-o", tmp_path / "report") == 3
    assert opened == []
    assert capsys.readouterr().err == f"error: {tmp_path / 'report'}: File exists\n"


@pytest.mark.parametrize("forms", [FORMS, pytest.param({**FORMS, **GRAPHS}, marks=pytest.mark.full)])
def test_the_restorer_is_timed_in_what_runs_here(
    top1_model, monkeypatch, tmp_path, run_command, capfd, no_fresh_process, forms
) -> None:
    pytest.importorskip("matplotlib")
    opening = {
        "published": PublishedRuntime,
        "checkpoint.safetensors": TorchRuntime,
        "bundle": OnnxRuntime,
        "int8": OnnxRuntime,
    }

    def open_runtime(target, device):
        if target == "nowhere":
            raise RuntimeUnavailableError("not on this machine")
        return opening[target.partition(":")[0] if ":" in target else Path(target).name].open(target, device)

    monkeypatch.setitem(PRESETS, "small", top1_model.config)
    monkeypatch.setattr(restorer_models, "FORMS", forms)
    monkeypatch.setattr("lorair_export.bench.FORMS", forms)
    monkeypatch.setattr(restorer_models, "open_runtime", open_runtime)
    kept, report = tmp_path / "kept", tmp_path / "report"
    options = ["--model", "small", "--size", "2x64x48", "--local-window", "global", "--iters", "2"]
    words = ["lorair-bench", "restorer", *options, "--keep", kept, "-o", report]
    made = []
    for compare in ([], ["--compare", report / "latency.json"]):
        assert run_command(*words, *compare) == 0
        made.append([path.stat().st_mtime_ns for path in sorted(kept.glob("*/manifest.json"))])
    printed = capfd.readouterr()
    assert "left out OpenVINO: not on this machine" in printed.err and "now / then" in printed.out
    assert made[0] == made[1]  # graphs that fit are used again
    read = read_record(report / "latency.json")
    assert [(row.model, row.part, row.calls) for row in read.rows] == [
        (name, "restorer", 2) for name in forms if name != "OpenVINO"
    ]
    assert read.settings.about == {"local_window": "global", "model": "small, random weights"}
    assert read_checkpoint(kept / "checkpoint.safetensors").config.restorer.local_window is None
