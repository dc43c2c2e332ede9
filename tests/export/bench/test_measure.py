"""How models are timed in turn, and which of them get no figure, by a clock that only they move."""

from typing import Any

import numpy as np
import pytest
import torch
from lorair_export.bench.latency.cases import Case, Part, Rounds, case_batches
from lorair_export.bench.latency.measure import interleaved, measure, summary

from lorair.errors import RuntimeUnavailableError
from lorair.inference import TorchRuntime
from lorair.model import Routing

DELAYS_MS = (10.0, 11.0, 30.0, 12.0, 13.0, 14.0, 200.0)


def test_figures_are_those_of_the_calls(fake, batches) -> None:
    times = interleaved([fake(delays_ms=DELAYS_MS)], batches(), Rounds(warmup=0, iters=len(DELAYS_MS)))
    np.testing.assert_allclose(times, [DELAYS_MS], rtol=1e-9)
    figures = summary(times[0], Case(32, 48, batch=4))
    np.testing.assert_allclose(
        [figures["p50_ms"], figures["p90_ms"], figures["p99_ms"]], np.percentile(DELAYS_MS, [50, 90, 99])
    )
    assert figures["images_per_s"] == pytest.approx(4 * len(DELAYS_MS) / (sum(DELAYS_MS) / 1000))
    assert figures["mpix_per_s"] == pytest.approx(0.006144 * len(DELAYS_MS) / (sum(DELAYS_MS) / 1000))


def test_models_take_turns_and_the_first_place(fake, batches, clock) -> None:
    interleaved([fake(name) for name in ("a", "b", "c")], batches(), Rounds(warmup=1, iters=2))
    assert "".join(clock.calls) == "abcbcacab"


def test_duration_prolongs_a_run_but_counts_no_warm_up(fake, batches) -> None:
    times = interleaved([fake(delays_ms=(10.0,))], batches(), Rounds(warmup=5, iters=2, duration_s=0.095))
    assert len(times[0]) == 10


def test_router_and_restorer_are_timed_apart_where_they_can_be(fake, batches) -> None:
    runtimes = {"best.pt": fake(), "bundle": fake("onnx", (5.0,), error=1e-6)}
    rows = measure(runtimes, batches(2), Rounds(warmup=1, iters=4))
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
def test_wrong_output_has_a_reason_and_no_figure(fake, batches, clock, error) -> None:
    runtimes = {"best.pt": fake(), "bundle": fake("onnx", error=error)}
    right, wrong = measure(runtimes, batches(), Rounds(warmup=0, iters=2))
    assert right.reason is None and right.calls == 2
    assert wrong.reason is not None and "dB" in wrong.reason
    assert (wrong.p50_ms, wrong.calls, clock.calls.count("onnx")) == (None, 0, 3)


def test_size_out_of_range_and_failure_are_reasons(fake, batches) -> None:
    def raising(error: Exception) -> Any:
        def restore(images, routing):
            raise error

        runtime = fake("onnx")
        runtime.restore = restore
        return runtime

    small, other = fake("onnx"), fake("onnx")
    small.size_range, other.degradations = (16, 32), ("rain", "snow")
    memory = RuntimeError("Failed to allocate memory for requested buffer of size 9000\nException raised from ...")
    runtimes = {
        "best.pt": fake(),
        "small": small,
        "failing": raising(RuntimeUnavailableError("no GPU here")),
        "other": other,
        "large": raising(memory),
    }
    rows = measure(runtimes, batches(), Rounds(warmup=0, iters=1))
    assert [row.reason for row in rows] == [
        None, "takes sides of 16 to 32 pixels", "no GPU here", "another model, of rain, snow",
        "RuntimeError: Failed to allocate memory for requested buffer of size 9000",
    ]  # fmt: skip


def test_without_a_checkpoint_nothing_is_right(fake, batches) -> None:
    with pytest.raises(ValueError, match=r"--model best\.pt"):
        measure({"bundle": fake("onnx")}, batches(), Rounds())


@pytest.mark.parametrize(("error", "right"), [(0.003, True), (0.005, False), (float("nan"), False)])
def test_a_router_is_compared_by_priors_too(fake, batches, clock, error, right) -> None:
    def router(name: str, error: float = 0.0) -> Any:
        """Priors are [1, -4] and `error` away from it."""

        def route(images):
            clock.now += 0.003
            prior = torch.tensor([[1.0, -4.0]]).expand(len(images), 2) + error
            return Routing(None, torch.ones(len(images), 1), prior)

        runtime = fake(name)
        runtime.route = route
        return runtime

    runtimes = {"best.pt": router("torch"), "bundle": router("onnx", error)}
    _, row = measure(runtimes, batches(), Rounds(warmup=0, iters=2), Part.ROUTER)
    assert (row.reason is None) == right == (row.calls == 2)


def test_cases_are_photographs(fake) -> None:
    given = case_batches(Case(64, 96, 2), Part.ALL, fake())
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
