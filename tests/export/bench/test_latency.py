import json
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch
from lorair_export.bench.latency import measure as latency
from lorair_export.bench.latency import restorer as restorer_bench
from lorair_export.bench.latency.cases import Batch, Case, Part, Plan, Rounds, case_batches
from lorair_export.bench.latency.cold_start import ColdStart, cold_start
from lorair_export.bench.latency.measure import interleaved, measure
from lorair_export.bench.latency.report import record_of, write_report
from lorair_export.bench.published_runtime import PublishedRuntime
from lorair_export.bundle.parity import psnr_db
from lorair_export.cli import bench as cli_bench
from lorair_export.cli.latency import cases_of, run
from lorair_export.errors import ExportError, ParityError
from lorair_export.runtimes.onnx_profile import milliseconds_by_part
from lorair_export.runtimes.onnxruntime import OnnxRuntime

from lorair.checkpoints import read_checkpoint
from lorair.errors import RuntimeUnavailableError
from lorair.inference.torch_runtime import TorchRuntime
from lorair.model.config import PRESETS
from lorair.model.router import Routing

DELAYS_MS = (10.0, 11.0, 30.0, 12.0, 13.0, 14.0, 200.0)


class Clock:
    """A clock that stands still but for what the fake runtimes take."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        monkeypatch.setattr(latency, "perf_counter", lambda: self.now)
        monkeypatch.setattr(latency, "sleep", lambda seconds: None)


class FakeRuntime:
    """Adds ``error`` to the images and takes the given milliseconds, call by call."""

    degradations = ("noise",)
    size_range = None

    def __init__(self, clock: Clock, name: str = "torch", delays_ms=(10.0,), error: float = 0.0) -> None:
        self.clock, self.name, self.delays, self.error = clock, name, cycle(delays_ms), error

    def route(self, images):
        if self.name != "torch":
            return None
        self.clock.now += 0.003
        return Routing(None, torch.ones(len(images), 1), torch.zeros(len(images), 1))

    def pin(self, degradation, batch):
        raise ValueError("no names here")

    def restore(self, images, routing):
        self.clock.calls.append(self.name)
        self.clock.now += next(self.delays) / 1000
        return images + self.error, torch.ones(len(images), 1)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def batches(batch: int = 1) -> list[Batch]:
    return [Batch(torch.rand(batch, 3, 32, 48, generator=torch.Generator().manual_seed(i))) for i in range(3)]


def test_figures_are_those_of_the_calls(clock) -> None:
    runtime = FakeRuntime(clock, delays_ms=DELAYS_MS)
    times = interleaved([runtime], batches(), Rounds(warmup=0, iters=len(DELAYS_MS)))
    np.testing.assert_allclose(times, [DELAYS_MS], rtol=1e-9)
    figures = latency.summary(times[0], Case(32, 48, batch=4))
    np.testing.assert_allclose(
        [figures["p50_ms"], figures["p90_ms"], figures["p99_ms"]], np.percentile(DELAYS_MS, [50, 90, 99])
    )
    assert figures["images_per_s"] == pytest.approx(4 * len(DELAYS_MS) / (sum(DELAYS_MS) / 1000))
    assert figures["mpix_per_s"] == pytest.approx(0.006144 * len(DELAYS_MS) / (sum(DELAYS_MS) / 1000))


def test_models_take_turns_and_the_first_place(clock) -> None:
    runtimes = [FakeRuntime(clock, name) for name in ("a", "b", "c")]
    interleaved(runtimes, batches(), Rounds(warmup=1, iters=2))
    assert "".join(clock.calls) == "abcbcacab"


def test_duration_prolongs_a_run_but_counts_no_warm_up(clock) -> None:
    rounds = Rounds(warmup=5, iters=2, duration_s=0.095)
    times = interleaved([FakeRuntime(clock, delays_ms=(10.0,))], batches(), rounds)
    assert len(times[0]) == 10


def test_rows_tell_router_and_restorer_apart_where_they_are(clock) -> None:
    rows = measure(
        {"best.pt": FakeRuntime(clock), "bundle": FakeRuntime(clock, "onnx", (5.0,), error=1e-6)},
        batches(2),
        Rounds(warmup=1, iters=4),
    )
    assert [(row.model, row.runtime, row.case) for row in rows] == [
        ("best.pt", "torch", Case(32, 48, 2)),
        ("bundle", "onnx", Case(32, 48, 2)),
    ]
    assert (rows[0].p50_ms, rows[1].p50_ms) == (pytest.approx(10), pytest.approx(5))
    assert rows[1].images_per_s == pytest.approx(400)
    assert (rows[0].router_ms, rows[0].restorer_ms) == (pytest.approx(3), pytest.approx(10))
    assert (rows[1].router_ms, rows[1].restorer_ms) == (None, None)
    assert rows[1].psnr_db == pytest.approx(120, abs=0.1)


@pytest.mark.parametrize("error", [1e-2, float("nan")])
def test_wrong_output_has_a_reason_and_no_figure(clock, error) -> None:
    right, wrong = measure(
        {"best.pt": FakeRuntime(clock), "bundle": FakeRuntime(clock, "onnx", error=error)},
        batches(),
        Rounds(warmup=0, iters=2),
    )
    assert right.refused is None and right.calls == 2
    assert wrong.refused is not None and "dB" in wrong.refused
    assert (wrong.p50_ms, wrong.calls, clock.calls.count("onnx")) == (None, 0, 3)


def test_size_out_of_range_and_failure_are_reasons(clock) -> None:
    small, failing = FakeRuntime(clock, "onnx"), FakeRuntime(clock, "tensorrt")
    small.size_range = (16, 32)

    def fail(images, routing):
        raise RuntimeUnavailableError("no GPU here")

    def exceed(images, routing):
        raise RuntimeError("Failed to allocate memory for requested buffer of size 9000\nException raised from ...")

    failing.restore = fail
    large = FakeRuntime(clock, "onnx")
    large.restore = exceed
    other = FakeRuntime(clock, "onnx")
    other.degradations = ("rain", "snow")
    runtimes = {"best.pt": FakeRuntime(clock), "small": small, "failing": failing, "other": other, "large": large}
    rows = measure(runtimes, batches(), Rounds(warmup=0, iters=1))
    assert [row.refused for row in rows] == [
        None, "takes sides of 16 to 32 pixels", "no GPU here", "another model, of rain, snow",
        "RuntimeError: Failed to allocate memory for requested buffer of size 9000",
    ]  # fmt: skip


def test_without_a_checkpoint_nothing_is_right(clock) -> None:
    with pytest.raises(ValueError, match=r"--model best\.pt"):
        measure({"bundle": FakeRuntime(clock, "onnx")}, batches(), Rounds())


def test_cases_are_photographs(clock) -> None:
    given = case_batches(Case(64, 96, 2), Part.ALL, FakeRuntime(clock))
    images = [batch.images for batch in given]
    assert [batch.routing for batch in given] == [None] * 3
    assert [tuple(batch.shape) for batch in images] == [(2, 3, 64, 96)] * 3
    assert all(batch.min() >= 0 and batch.max() <= 1 for batch in images)
    assert not torch.equal(images[0], images[1])
    neighbours = (images[0][..., 1:] - images[0][..., :-1]).abs().mean()
    assert 0.001 < neighbours < 0.1


def test_experts_are_mixed_in_turn_in_the_router_s_proportions(export_model) -> None:
    reference = TorchRuntime(export_model)
    given = case_batches(Case(48, 64, 2), Part.RESTORER, reference)
    gates = torch.cat([batch.routing.gates for batch in given])
    own = torch.cat([reference.route(batch.images).gates for batch in given])
    assert gates.argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    torch.testing.assert_close(gates.sort(1).values, own.sort(1).values)
    assert ((gates > 0).sum(1) == 2).all() and (gates.max(1).values < 0.99).any()
    priors = torch.cat([batch.routing.prior for batch in given])
    torch.testing.assert_close(priors, torch.cat([reference.route(batch.images).prior for batch in given]))


def test_a_pinned_bundle_is_compared_with_the_model_pinned_alike(form_of) -> None:
    exported = form_of("pinned")
    reference, pinned = TorchRuntime(exported.model), OnnxRuntime.open(str(exported.folder), "cpu")
    batches = case_batches(Case(48, 64, 2), Part.ALL, reference)
    rows = measure({"best.pt": reference, "pinned": pinned}, batches, Rounds(warmup=0, iters=1))
    assert [row.refused for row in rows] == [None, None] and rows[1].psnr_db > 80
    routed, _ = reference.restore(batches[0].images, None)
    assert psnr_db(routed, pinned.restore(batches[0].images, None)[0]) < 80  # as its own router would


@pytest.mark.parametrize("form", ["experts", "split"])
def test_a_part_alone_by_graphs_apart(form_of, merged, form) -> None:
    exported = form_of(form)
    reference, target = TorchRuntime(exported.model), str(exported.folder)
    runtimes = {
        "best.pt": reference,
        "published": PublishedRuntime(exported.model),
        target: OnnxRuntime.open(target, "cpu"),
        "routes inside": OnnxRuntime.open(str(merged.folder), "cpu"),
    }
    for part in (Part.RESTORER, Part.ROUTER):
        batches = case_batches(Case(96, 64, 4), part, reference)
        *right, inside = measure(runtimes, batches, Rounds(warmup=0, iters=2), part)
        assert inside.refused is not None and "--routing split" in inside.refused
        assert [(row.part, row.refused, row.calls) for row in right] == [(part, None, 2)] * 3
        assert [row.psnr_db is None or row.psnr_db > 100 for row in right] == [True] * 3
        assert (right[0].psnr_db is None) == (part is Part.ROUTER)
    (row,) = measure(runtimes, case_batches(Case(96, 64), Part.ALL, reference), Rounds(0, 1))[2:3]
    assert row.router_ms > 0 and row.restorer_ms > 0


class FakeRouter(FakeRuntime):
    """A router whose priors are [1, -4] and ``error`` away from it."""

    def route(self, images):
        self.clock.now += 0.003
        prior = torch.tensor([[1.0, -4.0]]).expand(len(images), 2) + self.error
        return Routing(None, torch.ones(len(images), 1), prior)


@pytest.mark.parametrize(("error", "right"), [(0.003, True), (0.005, False), (float("nan"), False)])
def test_a_router_is_judged_by_priors_too(clock, error, right) -> None:
    runtimes = {"best.pt": FakeRouter(clock), "bundle": FakeRouter(clock, "onnx", error=error)}
    _, row = measure(runtimes, batches(), Rounds(warmup=0, iters=2), Part.ROUTER)
    assert (row.refused is None) == right == (row.calls == 2)


def test_sizes_and_batches_make_cases() -> None:
    assert cases_of(["64x48", "4x32x16", "20"], [1, 2]) == [
        Case(64, 48, 1), Case(64, 48, 2), Case(32, 16, 4), Case(20, 20, 1), Case(20, 20, 2)
    ]  # fmt: skip
    for wrong in ("x64", "0x64x64", "2x3x4x5", "64x", "4x64xa"):
        with pytest.raises(ValueError, match="--size is height x width"):
            cases_of([wrong], [1])


def test_report_is_complete(clock, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    rounds = Rounds(warmup=1, iters=3)
    rows = measure({"best.pt": FakeRuntime(clock), "bundle": FakeRuntime(clock, "onnx", error=0.5)}, batches(), rounds)
    plan = Plan([rows[0].case], rounds, Part.ALL, "cpu", {"local_window": "global"})
    record = record_of(rows, "best.pt", plan, {"processor": "a fast one"})
    written = write_report(tmp_path / "out", record, rows)
    assert [path.name for path in written] == ["latency.json", "latency.png", "latency.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["latency.html", "latency.json", "latency.png"]
    read = json.loads(written[0].read_text())
    assert read["settings"]["iters"] == 3 and read["settings"]["order"] == "interleaved"
    assert read["settings"]["local_window"] == "global" and read["settings"]["part"] == "all"
    assert read["machine"] == {"processor": "a fast one"} and read["reference"] == "best.pt"
    assert read["rows"][0]["case"] == {"height": 32, "width": 48, "batch": 1}
    assert read["rows"][0]["calls"] == 3 and read["rows"][0]["refused"] is None
    assert read["rows"][1]["p50_ms"] is None and "dB" in read["rows"][1]["refused"]
    assert written[1].read_bytes()[:4] == b"\x89PNG"


def node(name: str, start: int, duration: int) -> dict:
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": start, "dur": duration}


def test_profile_counts_nodes_by_their_names_after_the_warm_up() -> None:
    def run(start: int) -> list[dict]:
        return [
            {"cat": "Session", "name": "model_run", "ts": start, "dur": 9000},
            node("router/a", start + 100, 1000),
            node("restorer/b", start + 2000, 3000),
            node("reorder_token_7", start + 5000, 500),
            node("router/c", start + 6000, 2000),
        ]

    events = [*run(0), *run(10_000), *run(20_000)]
    spent = milliseconds_by_part(events[::-1], skip_runs=1)
    assert spent == {"router": pytest.approx(6.0), "restorer": pytest.approx(7.0)}


def test_graph_is_measured_in_parts(merged) -> None:
    reference = TorchRuntime(merged.model)
    batches = case_batches(Case(96, 64), Part.ALL, reference)
    runtimes = {"best.pt": reference, str(merged.folder): OnnxRuntime.open(str(merged.folder), "cpu")}
    torch_row, onnx_row = measure(runtimes, batches, Rounds(warmup=1, iters=3))
    assert onnx_row.refused is None and onnx_row.psnr_db >= 80
    for row in (torch_row, onnx_row):
        assert row.router_ms > 0 and 0 < row.restorer_ms < 1000
    left = [path for path in merged.folder.iterdir() if path.suffix == ".json" and path.name != "manifest.json"]
    assert left == []


def test_a_graph_in_bfloat16_of_a_fixed_batch_is_measured_in_parts(form_of) -> None:
    exported = form_of("low-rank", "bf16")
    assert exported.manifest.graphs[0].fixed_batch == 4
    reference, target = TorchRuntime(exported.model), str(exported.folder)
    batches = case_batches(Case(48, 64, 2), Part.ALL, reference)
    _, row = measure({"best.pt": reference, target: OnnxRuntime.open(target, "cpu")}, batches, Rounds(0, 1))
    assert (row.refused, row.precision) == (None, "fp32") and 45 <= row.psnr_db < 100
    assert row.router_ms > 0 and row.restorer_ms > 0


def test_cold_start_is_that_of_a_fresh_process(export_checkpoint) -> None:
    routing = Routing(None, torch.eye(3)[:1], torch.rand(1, 4))
    started = cold_start(str(export_checkpoint), "cpu", Batch(torch.rand(1, 3, 48, 48), routing), Part.RESTORER)
    assert started.load_ms > 0 and started.first_call_ms > 0
    assert started.peak_rss_mib is None or 100 < started.peak_rss_mib < 8000


@pytest.mark.parametrize(("error", "exit_code"), [(0.0, 0), (0.5, 6)])
def test_command_tells_by_its_exit_code(clock, monkeypatch, tmp_path, error, exit_code) -> None:
    pytest.importorskip("matplotlib")
    runtimes = {"best.pt": FakeRuntime(clock), "bundle": FakeRuntime(clock, "onnx", error=error)}
    monkeypatch.setattr("lorair.inference.runtime.open_runtime", lambda target, device: runtimes[target])
    monkeypatch.setattr(
        "lorair_export.bench.latency.cold_start.cold_start", lambda *asked: ColdStart(1.0, 2.0, 3.0, None)
    )
    options = ["--size", "32x48", "--size", "64", "--batch", "2", "--iters", "2", "--warmup", "0"]
    models = ["--model", "best.pt", "--model", "bundle"]
    monkeypatch.setattr("sys.argv", ["lorair-bench", "latency", *models, *options, "-o", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli_bench.main()
    assert ended.value.code == exit_code
    read = json.loads(Path(tmp_path, "latency.json").read_text())
    assert [row["case"] for row in read["rows"][::2]] == [
        {"height": 32, "width": 48, "batch": 2},
        {"height": 64, "width": 64, "batch": 2},
    ]
    assert read["rows"][0]["first_call_ms"] == 2.0
    assert {"processor", "cores", "versions", "threads", "commit"} <= set(read["machine"])


def test_what_has_no_memory_is_a_reason_and_the_rest_is_written(clock, monkeypatch, tmp_path) -> None:
    """The bundle's fresh process dies, and at 64 pixels the reference itself has no memory."""
    pytest.importorskip("matplotlib")
    reference = FakeRuntime(clock)
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
    runtimes = {"best.pt": reference, "bundle": FakeRuntime(clock, "onnx")}
    plan = Plan([Case(32, 48), Case(64, 64)], Rounds(0, 2))
    monkeypatch.setattr("lorair_export.bench.latency.cold_start.cold_start", start)
    with pytest.raises(ParityError, match=r"bundle at 1x3x32x48: a fresh process died; .* MemoryError: 64 pixels"):
        run(runtimes, {name: name for name in runtimes}, plan, None, tmp_path)
    rows = json.loads((tmp_path / "latency.json").read_text())["rows"]
    assert [(row["calls"], row["refused"]) for row in rows] == [
        (2, None), (0, "a fresh process died"), (0, "MemoryError: 64 pixels"), (0, "MemoryError: 64 pixels")
    ]  # fmt: skip


def test_a_report_that_cannot_be_written_is_told_before_models_are_opened(monkeypatch, tmp_path, capsys) -> None:
    (tmp_path / "report").write_text("a file")
    opened = []
    monkeypatch.setattr("lorair.inference.runtime.open_runtime", lambda *asked: opened.append(asked))
    monkeypatch.setattr("sys.argv", ["lorair-bench", "latency", "--model", "best.pt", "-o", str(tmp_path / "report")])
    with pytest.raises(SystemExit) as ended:
        cli_bench.main()
    assert (ended.value.code, opened) == (3, [])
    assert capsys.readouterr().err == f"error: {tmp_path / 'report'}: File exists\n"


def test_the_restorer_s_command_measures_what_runs_here(top1_model, monkeypatch, tmp_path, capfd) -> None:
    pytest.importorskip("matplotlib")
    forms = {
        "published": "published:{checkpoint}",
        "torch": "{checkpoint}",
        "ONNX Runtime": "{bundle}",
        "int8": "{int8}",
    }
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
    monkeypatch.setattr(restorer_bench, "FORMS", {**forms, "OpenVINO": "nowhere"})
    monkeypatch.setattr(restorer_bench, "open_runtime", open_runtime)
    monkeypatch.setattr(
        "lorair_export.bench.latency.cold_start.cold_start", lambda *asked: ColdStart(1.0, 2.0, 3.0, None)
    )
    kept, report = tmp_path / "kept", tmp_path / "report"
    written = []
    options = ["--model", "small", "--size", "2x64x48", "--local-window", "global", "--iters", "2"]
    words = ["lorair-bench", "restorer", *options, "--keep", str(kept), "-o", str(report)]
    for compare in ([], ["--compare", str(report / "latency.json")]):
        monkeypatch.setattr("sys.argv", [*words, *compare])
        with pytest.raises(SystemExit) as ended:
            cli_bench.main()
        assert ended.value.code == 0
        written.append((kept / "bundle" / "manifest.json").stat().st_mtime_ns)
    told = capfd.readouterr()
    assert "left out OpenVINO: not on this machine" in told.err and "now / then" in told.out
    assert written[0] == written[1]
    read = json.loads((report / "latency.json").read_text())
    assert [(row["model"], row["part"], row["calls"]) for row in read["rows"]] == [
        (name, "restorer", 2) for name in forms
    ]
    assert read["settings"]["local_window"] == "global" and read["settings"]["model"] == "small, random weights"
    assert read_checkpoint(kept / "checkpoint.safetensors").config.restorer.local_window is None
