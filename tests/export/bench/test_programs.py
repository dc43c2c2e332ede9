"""The benchmarks that `make bench` runs: they compare before they time, and print nothing where the outputs differ."""

import runpy
import sys
import warnings

import pytest
import torch
from lorair_export.bench import experts, step
from lorair_export.bench.experts import experts_times
from lorair_export.bench.published import PublishedRestorer
from lorair_export.bench.random_restorer import mixed_logits, random_restorer
from lorair_export.bench.step import step_times
from lorair_export.bench.timing import machine_line, median_seconds
from lorair_export.errors import ParityError


def run(monkeypatch, program: str, *arguments: str) -> None:
    name = f"lorair_export.bench.{program}"
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.delitem(sys.modules, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as where importing its package imports the program too
        runpy.run_module(name, run_name="__main__")


def test_experts_of_a_mixed_batch_are_timed_after_they_agreed(small_config):
    rows = experts_times(small_config, 32, (1, 5), rounds=1)
    assert [row.batch for row in rows] == [1, 5]
    assert all(min(row.experts, row.plain, row.published) > 0 for row in rows)


def test_a_step_is_timed_after_its_gradients_agreed(small_config):
    times = step_times(small_config, 32, batch=3, rounds=1)
    assert times.merged > 0 and times.published > 0
    assert 0 < times.gradient_error < 1e-3  # two orders of summation never agree to the last bit


@pytest.mark.parametrize("wrong", [0.01, float("nan")])
def test_no_time_of_forms_that_differ(small_config, monkeypatch, wrong):
    right = PublishedRestorer.forward
    monkeypatch.setattr(PublishedRestorer, "forward", lambda self, *inputs: right(self, *inputs) * (1 + wrong))
    with pytest.raises(ParityError, match="batch 1: outputs differ by"):
        experts_times(small_config, 32, (1,), rounds=1)
    with pytest.raises(ParityError, match="gradients differ by"):
        step_times(small_config, 32, batch=2, rounds=1)


def test_experts_and_branches_of_a_random_restorer_matter(small_config):
    restorer, images = random_restorer(small_config), torch.rand(2, 3, 32, 32)
    prior, gates = torch.randn(2, small_config.router.prior_dim), mixed_logits(2, len(small_config.degradations))
    with torch.inference_mode():
        restored, plain = restorer(images, prior, gates), restorer(images, prior, torch.zeros_like(gates))
    assert (restored - plain).abs().mean() > 1e-3 and (plain - images).abs().mean() > 1e-2


def test_the_median_leaves_the_first_round_out(monkeypatch):
    now, calls = [0.0], []

    def form(name, seconds):
        def call():
            calls.append(name)
            now[0] += next(seconds)

        return call

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    forms = {"a": form("a", iter([99, 1, 5, 2])), "b": form("b", iter([99, 7, 7, 8]))}
    assert median_seconds(forms, 3) == {"a": pytest.approx(2), "b": pytest.approx(7)}
    assert calls == ["a", "b"] * 4


@pytest.mark.parametrize(
    ("program", "headings"),
    [(experts, ("per image", "published / experts")), (step, ("published / merged", "gradients differ"))],
)
def test_programs_print_a_table_and_the_machine(monkeypatch, capsys, program, headings):
    monkeypatch.setenv("COLUMNS", "200")
    name = program.__name__.rpartition(".")[2]
    run(monkeypatch, name, "--preset", "tiny", "--size", "16", "--batch", "2", "--rounds", "1")
    printed = capsys.readouterr().out
    assert [words for words in ("tiny", "float32", machine_line(), *headings) if words not in printed] == []


def test_programs_name_the_presets_they_know(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "experts", "--preset", "huge")
    assert ended.value.code == 2 and "lorair-64" in capsys.readouterr().err
