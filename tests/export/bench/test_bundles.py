"""Real bundles measured next to the model that they were made from: whole, in parts, pinned, in a fresh process."""

import pytest
import torch
from lorair_export.bench.latency.cases import Batch, Case, Part, Rounds, case_batches
from lorair_export.bench.latency.cold_start import cold_start
from lorair_export.bench.latency.measure import measure
from lorair_export.bench.published_runtime import PublishedRuntime
from lorair_export.bundle import psnr_db
from lorair_export.runtimes import OnnxRuntime
from lorair_export.runtimes.onnx_profile import milliseconds_by_part

from lorair.inference import TorchRuntime
from lorair.model import Routing


def test_a_pinned_bundle_is_compared_with_the_model_pinned_alike(form_of) -> None:
    exported = form_of("pinned")
    reference, pinned = TorchRuntime(exported.model), OnnxRuntime.open(str(exported.folder), "cpu")
    batches = case_batches(Case(48, 64, 2), Part.ALL, reference)
    rows = measure({"best.pt": reference, "pinned": pinned}, batches, Rounds(warmup=0, iters=1))
    assert [row.reason for row in rows] == [None, None] and rows[1].psnr_db > 80
    routed, _ = reference.restore(batches[0].images, None)
    assert psnr_db(routed, pinned.restore(batches[0].images, None)[0]) < 80  # as its own router would


@pytest.mark.parametrize("form", ["split", pytest.param("experts", marks=pytest.mark.full)])
def test_router_and_restorer_by_graphs_apart(form_of, merged, form) -> None:
    exported = form_of(form)
    reference, target = TorchRuntime(exported.model), str(exported.folder)
    runtimes = {
        "best.pt": reference,
        "published": PublishedRuntime(exported.model),
        target: OnnxRuntime.open(target, "cpu"),
        "routes inside": OnnxRuntime.open(str(merged.folder), "cpu"),
    }
    for part in (Part.RESTORER, Part.ROUTER):
        batches = case_batches(Case(48, 32, 4), part, reference)
        *right, inside = measure(runtimes, batches, Rounds(warmup=0, iters=2), part)
        assert inside.reason is not None and "--routing split" in inside.reason
        assert [(row.part, row.reason, row.calls) for row in right] == [(part, None, 2)] * 3
        assert [row.psnr_db is None or row.psnr_db > 100 for row in right] == [True] * 3
        assert (right[0].psnr_db is None) == (part is Part.ROUTER)
    (row,) = measure(runtimes, case_batches(Case(48, 32), Part.ALL, reference), Rounds(0, 1))[2:3]
    assert row.router_ms > 0 and row.restorer_ms > 0


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
    batches = case_batches(Case(48, 32), Part.ALL, reference)
    runtimes = {"best.pt": reference, str(merged.folder): OnnxRuntime.open(str(merged.folder), "cpu")}
    torch_row, onnx_row = measure(runtimes, batches, Rounds(warmup=1, iters=3))
    assert onnx_row.reason is None and onnx_row.psnr_db >= 80
    for row in (torch_row, onnx_row):
        assert row.router_ms > 0 and 0 < row.restorer_ms < 1000
    left = [path for path in merged.folder.iterdir() if path.suffix == ".json" and path.name != "manifest.json"]
    assert left == []


@pytest.mark.full
def test_a_graph_in_bfloat16_of_a_fixed_batch_is_measured_in_parts(form_of) -> None:
    exported = form_of("low-rank", "bf16")
    assert exported.manifest.graphs[0].fixed_batch == 4
    reference, target = TorchRuntime(exported.model), str(exported.folder)
    batches = case_batches(Case(48, 64, 2), Part.ALL, reference)
    _, row = measure({"best.pt": reference, target: OnnxRuntime.open(target, "cpu")}, batches, Rounds(0, 1))
    assert (row.reason, row.precision) == (None, "fp32") and 45 <= row.psnr_db < 100
    assert row.router_ms > 0 and row.restorer_ms > 0


def test_cold_start_is_that_of_a_fresh_process(export_checkpoint) -> None:
    routing = Routing(None, torch.eye(3)[:1], torch.rand(1, 4))
    started = cold_start(str(export_checkpoint), "cpu", Batch(torch.rand(1, 3, 48, 48), routing), Part.RESTORER)
    assert started.load_ms > 0 and started.first_call_ms > 0
    assert started.peak_rss_mib is None or 100 < started.peak_rss_mib < 8000
