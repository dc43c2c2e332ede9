"""The benchmark of the kernels as far as a machine without a GPU can run it: every form, rows, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lorair_kernels.benchmarks import __main__ as program
from lorair_kernels.benchmarks import experts_cases, kernel_goals, run
from lorair_kernels.benchmarks.case import Case, Form, check
from lorair_kernels.benchmarks.kernel_cases import kernel_cases
from lorair_kernels.benchmarks.results import Machine, Result
from lorair_kernels.benchmarks.work import Ceilings, Work

ROOT = Path(__file__).parents[3]
MACHINE = Machine("GPU", "1.2", "3.4", "5.6", "abc")


@pytest.fixture
def small(monkeypatch):
    """Cases of few channels and pixels, on the CPU."""
    monkeypatch.setattr(experts_cases, "BLOCKS", {1: 1, 2: 2})
    return kernel_cases("cpu", width=4, side=64)


@pytest.fixture
def on_cpu(monkeypatch, pretended_gpu):
    monkeypatch.setattr(run, "require_gpu", lambda: None)
    monkeypatch.setattr(run, "this_machine", lambda commit: MACHINE)
    monkeypatch.setattr(run, "measured_ceilings", lambda: Ceilings(4000, 800))


@torch.no_grad()
def test_every_form_of_every_kernel_is_right_in_plain_torch(plain_torch, small):
    for tried in small:
        expected = tried.expected()
        for name, form in tried.forms.items():
            assert form.through in ("graph", "compile")
            check(tried, name, form.call(*form.arguments), expected)


def test_every_goal_is_computed_from_the_rows_of_a_run():
    """At full size, on no device: a goal that names no case's row would never be measured."""
    figures = dict.fromkeys(("p20_ms", "p50_ms", "p80_ms", "gbs", "tflops", "fraction_of_roofline"), 1.0)
    rows = [
        Result(MACHINE, case.what, form, case.shape, "float16", **figures, peak_mib=None, error=0.0, psnr_db=None)
        for case in kernel_cases("meta")
        for form in case.forms
    ]
    assert [goal.text for goal in kernel_goals.GOALS if goal.measured(rows) is None] == []


def test_a_run_measures_every_kernel(on_cpu, small, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(program, "kernel_cases", lambda device: small)
    file = tmp_path / "rows.csv"
    assert program.main(["--results", str(file)]) == 0
    shown = capsys.readouterr().out
    written = file.read_text().splitlines()[1:]
    assert sum(line.startswith("GPU,1.2") for line in written) == len(written) == 14 * 3 + 3
    for what in ("merge", "gated_lowrank", "torch.compile", "cuBLAS", "pointwise twice"):
        assert what in shown, what
    assert next(line for line in shown.splitlines() if "goal" in line).split()[-1] == "ok"
    assert program.main(["--results", str(file), "--minutes", "0"]) == 0
    assert file.read_text().splitlines()[1:] == written, "rows were added after the time was up"


def test_a_wrong_kernel_ends_the_run_before_any_figure(on_cpu, monkeypatch, tmp_path, capsys):
    form = Form(lambda: torch.zeros(1), (), 1e-3)
    wrong = Case("work", "1", torch.float16, (Work(8e6, 6e9),), {"triton": form}, lambda: torch.ones(1))
    monkeypatch.setattr(program, "kernel_cases", lambda device: [wrong])
    assert program.main(["--results", str(tmp_path / "rows.csv")]) == 6
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "relative error of triton is 1.0e+00 from float32" in printed.err
    assert not list(tmp_path.iterdir())


def test_without_a_gpu_it_ends_with_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert program.main([]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("the benchmark needs the triton package and an NVIDIA GPU")
    assert printed.err.count("\n") == 1


def test_torch_is_the_only_package_it_imports():
    others = (
        "lorair", "lorair_export", "open_clip", "torchvision", "typer", "rich", "safetensors", "cv2", "PIL", "onnx",
        "onnxruntime", "numpy", "pytest", "triton",
    )  # fmt: skip
    script = f"import sys; sys.modules.update(dict.fromkeys({others})); import lorair_kernels.benchmarks.__main__"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_page_lists_the_goals_that_are_checked():
    page = (ROOT / "kernels" / "README.md").read_text()
    for goal in kernel_goals.GOALS:
        target = f"<= {goal.high:g}" if goal.high < float("inf") else f">= {goal.low:g}"
        assert f"| {goal.text} | {target} |" in page
