"""The GPU benchmark as far as a machine without a GPU can tell: its arithmetic, its files, and that every form runs."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import arithmetic
import goals
import kernel_cases
import measure
import pytest
import restorer_cases
import results
import run
import torch
from arithmetic import Ceilings, Work
from lorair_export.errors import ParityError
from lorair_kernels import backend, launch
from torch.utils.flop_counter import FlopCounterMode

from lorair.model.config import PRESETS
from lorair.model.unet import RestorationNet

ROOT = Path(__file__).parents[2]
CONFIG = replace(
    PRESETS["tiny"],
    degradations=("rain", "snow", "haze"),
    restorer=replace(PRESETS["tiny"].restorer, encoder_blocks=(1,), decoder_blocks=(1,), local_window=24),
)
MACHINE = results.Machine("GPU", "1.2", "3.4", "5.6", "abc")


@pytest.fixture
def plain_torch(monkeypatch):
    monkeypatch.setattr(backend, "has_triton", lambda: False)


@pytest.fixture
def on_cpu(monkeypatch, plain_torch):
    """What asks for CUDA answered without: forms run as they are, and each call takes 2 ms."""
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * 2**20)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 2**20)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(measure, "ready", lambda form: lambda: form.call(*form.arguments))
    monkeypatch.setattr(measure, "interleaved", lambda runs: {name: [1.0, 2.0, 3.0] for name in runs})


def row(form="triton", shape="1", what="work", **values):
    known = {"p20_ms": 1.0, "p50_ms": 2.0, "p80_ms": 3.0, "gbs": 4.0, "tflops": 5.0, "fraction_of_roofline": 0.5}
    known |= {"dtype": "float16", "peak_mib": None, "error": 1e-4, "psnr_db": None} | values
    return results.Result(MACHINE, what, form, shape, **known)


def case(call, expected, **values):
    form = measure.Form(call, (), 1e-3)
    values = {"what": "work", "shape": "1", "dtype": torch.float16, "work": (Work(8e6, 6e9),)} | values
    return measure.Case(forms={"triton": form}, expected=lambda: expected, **values)


@pytest.mark.parametrize(
    ("work", "moved", "flops"),
    [
        # 10 tokens of 4 channels read, 6 written, 24 weights, 2 bytes each; 10 * 4 * 6 multiply-adds
        (arithmetic.convolution_work(10, 4, 6), 2 * (40 + 60 + 24), 480),
        (arithmetic.convolution_work(10, 4, 6, gated=True), 2 * (40 + 30 + 24), 480),
        (arithmetic.convolution_work(10, 4, 6, 4, sets=2, added=True), 4 * (40 + 2 * 60 + 48), 480),
        (arithmetic.convolution_work(10, 4, 6, taps=9), 2 * (40 + 60 + 9 * 24), 9 * 480),
        # 2C = 6 channels read and 3 written of 10 pixels; 9 taps on 6 channels
        (arithmetic.depthwise_work(10, 3), 2 * (60 + 30), 2 * 10 * 6 * 9),
        (arithmetic.attention_work(3, 4), 2 * (2 * 16 + 3 * 16), 2 * 3 * 16),
        (arithmetic.feed_forward_work(10, 4), 2 * (80 + 48), 2 * 10 * (4 * 8 + 4 * 4)),
        (arithmetic.local_mean_work(100, 49, 8), 2 * 8 * 149, 0),
        # weights 5 x 7 and 2 x 3 read once and written twice, factors of ranks 2 and 1 of three experts
        (arithmetic.merge_work((5, 7, 2, 2, 3, 1), 3, 2, 2), 2 * (3 * 41 + 3 * (24 + 5)), 4 * (70 + 6)),
    ],
)
def test_bytes_and_flops_by_hand(work, moved, flops):
    assert (work.bytes, work.flops) == (moved, flops)


def test_the_restorers_flops_are_those_that_torch_counts():
    config = replace(PRESETS["lorair-64"].restorer, local_window=None)
    with torch.device("meta"):
        net = RestorationNet(config, 384, 3)
        images, prior = torch.empty(2, 3, 64, 64), torch.empty(2, 384)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(images, prior)
    work = arithmetic.restorer_work(config, 64, 2, 1)
    assert sum(launch.flops for launch in work) == pytest.approx(counter.get_total_flops(), rel=2e-3)


def test_the_roofline_takes_what_takes_longer():
    ceilings = Ceilings(gbs=4000, tflops=800)
    assert Work(8e6, 0).floor_ms(ceilings) == pytest.approx(0.002)
    assert Work(8e6, 8e9).floor_ms(ceilings) == pytest.approx(0.01)
    assert arithmetic.floor_ms([Work(8e6, 0), Work(8e6, 8e9)], ceilings) == pytest.approx(0.012)


def test_a_row_holds_what_its_work_and_time_say(on_cpu):
    y = torch.tensor([3.0, 4.0])
    (row,) = measure.measure(case(lambda: y, y.double()), MACHINE, Ceilings(4000, 3), left_out=pytest.fail)
    assert (row.p20_ms, row.p50_ms, row.p80_ms) == pytest.approx((1.4, 2, 2.6))
    assert (row.gbs, row.tflops, row.fraction_of_roofline) == pytest.approx((4, 3, 1))
    assert (row.peak_mib, row.error, row.psnr_db, row.dtype) == (2, 0, None, "float16")


def test_what_is_judged_is_the_call_that_is_timed(on_cpu):
    """The second: the first of a form that records graphs by itself is no replay."""
    calls = iter([torch.ones(1), torch.zeros(1)])
    with pytest.raises(ParityError, match=r"triton is 1\.0e"):
        measure.measure(case(lambda: next(calls), torch.ones(1)), MACHINE, Ceilings(1, 1), left_out=print)


@pytest.mark.parametrize("wrong", [torch.tensor([3.0, 4.01]), torch.tensor([3.0, float("nan")])])
def test_no_time_is_taken_of_what_is_wrong(on_cpu, monkeypatch, wrong):
    monkeypatch.setattr(measure, "interleaved", lambda runs: pytest.fail("timed"))
    with pytest.raises(ParityError, match=r"work, 1, float16: triton is (2.0e-03|nan) from float32"):
        measure.measure(case(lambda: wrong, torch.tensor([3.0, 4.0])), MACHINE, Ceilings(1, 1), left_out=print)


def test_restored_images_are_judged_by_what_was_added(on_cpu):
    image, right = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.6)
    (row,) = measure.measure(case(lambda: right + 1e-5, right, image=image), MACHINE, Ceilings(1, 1), pytest.fail)
    assert row.error == pytest.approx(1e-4, rel=0.02)
    assert row.psnr_db == pytest.approx(100, abs=0.1)


def test_what_does_not_fit_in_memory_is_told(on_cpu):
    def full():
        raise torch.OutOfMemoryError

    said = []
    assert measure.measure(case(full, torch.ones(1)), MACHINE, Ceilings(1, 1), said.append) == []
    assert said == ["work, 1, float16: triton does not fit in memory"]


def test_rows_are_added_below_the_old_ones(tmp_path):
    file = tmp_path / "results.csv"
    results.append(file, [row("a")])
    first = file.read_text()
    results.append(file, [row("b, c"), row("d", p50_ms=1 / 3)])
    assert file.read_text().startswith(first)
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ["gpu", "GPU", "GPU", "GPU"]
    assert file.read_text().splitlines()[1:3] == [
        "GPU,1.2,3.4,5.6,abc,work,a,1,float16,1,2,3,4,5,0.5,,0.0001,",
        'GPU,1.2,3.4,5.6,abc,work,"b, c",1,float16,1,2,3,4,5,0.5,,0.0001,',
    ]
    assert list(tmp_path.iterdir()) == [file]


def test_a_write_that_fails_leaves_the_old_rows(tmp_path, monkeypatch):
    file = tmp_path / "results.csv"
    results.append(file, [row("a")])
    before = file.read_text()

    def no_space(self, text):
        self.touch()
        raise OSError("no space")

    monkeypatch.setattr(Path, "write_text", no_space)
    with pytest.raises(OSError, match="no space"):
        results.append(file, [row("b")])
    assert file.read_text() == before


def test_a_file_of_other_columns_is_refused(tmp_path):
    file = tmp_path / "results.csv"
    file.write_text("gpu,ms\n")
    with pytest.raises(ValueError, match=r"results.csv has other columns than gpu, driver"):
        results.append(file, [row()])
    assert file.read_text() == "gpu,ms\n"


def test_the_committed_file_has_the_columns_that_are_written():
    header = (ROOT / "kernels" / "benchmarks" / "results.csv").read_text().splitlines()[0]
    assert header.split(",") == results.COLUMNS


def test_goals_are_read_from_rows():
    rows = [row("a"), row("b", p50_ms=3.0), row("a", "2"), row("b", "2", p50_ms=5.0), row("a", "3")]
    assert results.figure("work", "b", "1", "p50_ms")(rows) == 3
    assert results.ratio("work", "2", "b", "a")(rows) == 2.5
    assert results.worst_ratio("work", "b", "a")(rows) == 2.5
    assert results.worst_ratio("other", "b", "a")(rows) is None
    assert results.ratio("work", "1", "b", "a", "peak_mib")(rows) is None
    goal = results.Goal("g", results.figure("work", "a", "1", "p50_ms"), high=2.0)
    assert goal.line(rows).split() == ["g", "<=", "2", "2", "yes"]
    assert replace(goal, low=2.1, high=float("inf")).line(rows).split() == ["g", ">=", "2.1", "2", "no"]
    assert goal.line([]).split() == ["g", "<=", "2", "not", "measured"]


@torch.no_grad()
def test_every_form_of_every_kernel_is_right_in_plain_torch(plain_torch):
    cases = kernel_cases.kernel_cases(CONFIG, "cpu", 64)
    for tried in cases:
        expected = tried.expected()
        for name, form in tried.forms.items():
            assert form.through in ("graph", "compile")
            measure.check(tried, name, form.call(*form.arguments), expected)


def test_a_whole_run_measures_every_case(on_cpu, monkeypatch, tmp_path, capsys):
    for name, value in {
        "CONFIG": CONFIG, "DEVICE": "cpu", "SHAPES": [(8, 1), (5, 4)], "LOCAL_SIZES": [32], "COMPILED_SIZES": [8],
        "kernel_cases": lambda config, device: kernel_cases.kernel_cases(config, device, 64),
        "training_case": lambda config, device: restorer_cases.training_case(config, device, 8, 4),
        "require_gpu": lambda: None, "this_machine": lambda: MACHINE, "measured_ceilings": lambda: Ceilings(4000, 800),
    }.items():  # fmt: skip
        monkeypatch.setattr(run, name, value)
    file = tmp_path / "rows.csv"
    assert run.main(["--results", str(file)]) == 0
    shown = capsys.readouterr().out
    written = file.read_text().splitlines()[1:]
    assert sum(line.startswith("GPU,1.2") for line in written) == len(written) == 14 * 3 + 3 + 5 + 5 + 4 + 3 + 6
    for what in ("fused, mixed experts", "published, float32", "torch.compile", "restorer, local mean", "cuBLAS"):
        assert what in shown, what
    assert next(line for line in shown.splitlines() if "goal" in line).split()[-1] == "ok"
    assert shown.splitlines()[-1] == f"    echo '{{}}' > {launch.SHIPPED / 'GPU.json'}"
    assert run.main(["--results", str(file), "--minutes", "0"]) == 0
    assert file.read_text().splitlines()[1:] == written, "no time, yet rows"


def test_a_wrong_kernel_ends_the_run_before_any_figure(on_cpu, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "require_gpu", lambda: None)
    wrong = case(lambda: torch.zeros(1), torch.ones(1))
    monkeypatch.setattr(run, "kernel_cases", lambda config, device: [wrong])
    assert run.main(["--results", str(tmp_path / "rows.csv")]) == ParityError.exit_code
    told = capsys.readouterr()
    assert told.out == ""
    assert "triton is 1.0e+00 from float32" in told.err
    assert not list(tmp_path.iterdir())


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run.main([]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("the benchmark needs the triton package and an NVIDIA GPU")
    assert told.err.count("\n") == 1


def test_it_imports_torch_alone():
    others = (
        "open_clip", "torchvision", "typer", "rich", "safetensors", "cv2", "PIL", "onnx", "onnxruntime",
        "numpy", "pytest",
    )  # fmt: skip
    script = f"import sys; sys.modules.update(dict.fromkeys({others})); import run, restorer_cases"
    folder = ROOT / "kernels" / "benchmarks"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=folder)


def test_the_page_lists_the_goals_that_are_checked():
    page = (ROOT / "kernels" / "README.md").read_text()
    for goal in goals.GOALS:
        target = f"<= {goal.high:g}" if goal.high < float("inf") else f">= {goal.low:g}"
        assert f"| {goal.text} | {target} |" in page
