"""The benchmark of the fused restorer as far as a machine without a GPU can run it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lorair_export.bench.fused import __main__ as program
from lorair_export.bench.fused import training_case
from lorair_export.bench.fused.goals import GOALS
from lorair_export.bench.fused.work import restorer_work
from lorair_kernels import backend
from lorair_kernels.benchmarks import measure, run
from lorair_kernels.benchmarks.results import Machine, Result
from lorair_kernels.benchmarks.work import Ceilings
from lorair_kernels.launch import SHIPPED
from torch.utils.flop_counter import FlopCounterMode

from lorair.model import PRESETS, RestorationNet

ROOT = Path(__file__).parents[3]
CONFIG = replace(
    PRESETS["tiny"],
    degradations=("rain", "snow", "haze"),
    restorer=replace(PRESETS["tiny"].restorer, encoder_blocks=(1,), decoder_blocks=(1,), local_window=24),
)
MACHINE = Machine("GPU", "1.2", "3.4", "5.6", "abc")


def test_the_restorers_flops_are_those_that_torch_counts():
    config = replace(PRESETS["lorair-64"].restorer, local_window=None)
    with torch.device("meta"):
        net = RestorationNet(config, 384, 3)
        images, prior = torch.empty(2, 3, 64, 64), torch.empty(2, 384)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(images, prior)
    work = restorer_work(config, 64, 2, 1)
    assert sum(launch.flops for launch in work) == pytest.approx(counter.get_total_flops(), rel=2e-3)


@pytest.fixture
def on_cpu(monkeypatch):
    """A small model, and measuring as on a GPU: forms run as they are, and each call takes 2 ms."""
    for name, value in {
        "reset_peak_memory_stats": lambda: None, "max_memory_allocated": lambda: 3 * 2**20,
        "memory_allocated": lambda: 2**20, "empty_cache": lambda: None,
    }.items():  # fmt: skip
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(backend, "has_triton", lambda: False)
    monkeypatch.setattr(measure, "ready", lambda form: lambda: form.call(*form.arguments))
    monkeypatch.setattr(measure, "interleaved", lambda runs: {name: [1.0, 2.0, 3.0] for name in runs})
    monkeypatch.setattr(run, "require_gpu", lambda: None)
    monkeypatch.setattr(run, "this_machine", lambda commit: MACHINE)
    monkeypatch.setattr(run, "measured_ceilings", lambda: Ceilings(4000, 800))
    for name, value in {
        "CONFIG": CONFIG, "DEVICE": "cpu", "SHAPES": [(8, 1), (5, 4)], "LOCAL_SIZES": [32], "COMPILED_SIZES": [8],
        "training_case": lambda config, device: training_case(config, device, 8, 4),
    }.items():  # fmt: skip
        monkeypatch.setattr(program, name, value)


def test_a_run_measures_every_form_and_says_how_to_adopt_the_kernels(on_cpu, tmp_path, capsys):
    file = tmp_path / "rows.csv"
    assert program.main(["--results", str(file)]) == 0
    shown = capsys.readouterr().out
    written = file.read_text().splitlines()[1:]
    assert sum(line.startswith("GPU,1.2") for line in written) == len(written) == 3 + 5 + 5 + 4 + 3 + 6
    for what in ("merge", "fused, mixed experts", "published, float32", "torch.compile", "restorer, local mean"):
        assert what in shown, what
    assert shown.splitlines()[-1] == f"    echo '{{}}' > {SHIPPED / 'GPU.json'}"


def test_every_goal_is_computed_from_the_rows_of_a_run(monkeypatch):
    """At full size, on no device: a goal that names no case's row would never be measured."""
    monkeypatch.setattr(program, "DEVICE", "meta")
    figures = dict.fromkeys(("p20_ms", "p50_ms", "p80_ms", "gbs", "tflops", "fraction_of_roofline", "peak_mib"), 1.0)
    with torch.device("meta"):
        cases = [planned.make() for planned in program.planned()]
    rows = [
        Result(MACHINE, case.what, form, case.shape, "float16", **figures, error=0.0, psnr_db=None)
        for case in cases
        for form in case.forms
    ]
    assert [goal.text for goal in GOALS if goal.measured(rows) is None] == []


def test_the_page_lists_the_goals_that_are_checked():
    page = (ROOT / "kernels" / "README.md").read_text()
    for goal in GOALS:
        target = f"<= {goal.high:g}" if goal.high < float("inf") else f">= {goal.low:g}"
        assert f"| {goal.text} | {target} |" in page
