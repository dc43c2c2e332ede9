"""What is measured of a case on a machine without a GPU: its checks, its figures, what does not fit."""

import pytest
import torch
from lorair_kernels.benchmarks import measure
from lorair_kernels.benchmarks.case import Case, Form
from lorair_kernels.benchmarks.errors import AccuracyError
from lorair_kernels.benchmarks.results import Machine
from lorair_kernels.benchmarks.work import Ceilings, Work

MACHINE = Machine("GPU", "1.2", "3.4", "5.6", "abc")
pytestmark = pytest.mark.usefixtures("pretended_gpu")


def case(call, expected, **values):
    form = Form(call, (), 1e-3)
    values = {"what": "work", "shape": "1", "dtype": torch.float16, "work": (Work(8e6, 6e9),)} | values
    return Case(forms={"triton": form}, expected=lambda: expected, **values)


def test_a_row_holds_what_its_work_and_time_say():
    y = torch.tensor([3.0, 4.0])
    (row,) = measure.measure(case(lambda: y, y.double()), MACHINE, Ceilings(4000, 3), left_out=pytest.fail)
    assert (row.p20_ms, row.p50_ms, row.p80_ms) == pytest.approx((1.4, 2, 2.6))
    assert (row.gbs, row.tflops, row.fraction_of_roofline) == pytest.approx((4, 3, 1))
    assert (row.peak_mib, row.error, row.psnr_db, row.dtype) == (2, 0, None, "float16")


def test_the_call_that_is_checked_is_the_one_that_is_timed():
    """The second: the first of a form that records graphs by itself is no replay."""
    calls = iter([torch.ones(1), torch.zeros(1)])
    with pytest.raises(AccuracyError, match=r"error of triton is 1\.0e"):
        measure.measure(case(lambda: next(calls), torch.ones(1)), MACHINE, Ceilings(1, 1), left_out=print)


@pytest.mark.parametrize("wrong", [torch.tensor([3.0, 4.01]), torch.tensor([3.0, float("nan")])])
def test_no_time_is_taken_of_what_is_wrong(monkeypatch, wrong):
    monkeypatch.setattr(measure, "interleaved", lambda runs: pytest.fail("timed"))
    with pytest.raises(AccuracyError, match=r"work, 1, float16: .* triton is (2.0e-03|nan) from float32"):
        measure.measure(case(lambda: wrong, torch.tensor([3.0, 4.0])), MACHINE, Ceilings(1, 1), left_out=print)


def test_restored_images_are_judged_by_what_was_added():
    image, right = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.6)
    (row,) = measure.measure(case(lambda: right + 1e-5, right, image=image), MACHINE, Ceilings(1, 1), pytest.fail)
    assert row.error == pytest.approx(1e-4, rel=0.02)
    assert row.psnr_db == pytest.approx(100, abs=0.1)


def test_what_does_not_fit_in_memory_is_left_out():
    def full():
        raise torch.OutOfMemoryError

    said = []
    assert measure.measure(case(full, torch.ones(1)), MACHINE, Ceilings(1, 1), said.append) == []
    assert said == ["work, 1, float16: triton does not fit in memory"]
