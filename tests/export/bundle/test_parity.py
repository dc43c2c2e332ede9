"""Parity: its figures by hand, and what it lets pass."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from lorair_export.bundle.parity import (
    EQUAL_DB,
    TOLERANCES,
    ParityRecord,
    check,
    compare,
    parity_sizes,
    photograph_at,
    psnr_db,
)
from lorair_export.errors import ParityError
from PIL import Image

from lorair.photographs import examples

RIGHT = ParityRecord(("a.jpg",), 64, 64, psnr_db=80.0, max_levels=0.1, gates_difference=1e-3, finite=True)


class FakeRuntime:
    """Gives the images back, `error` brighter, and remembers their shapes."""

    name = "fake"
    degradations = ("rain", "haze")

    def __init__(self, error=0.0, size_range=None):
        self.error, self.size_range, self.batches = error, size_range, []

    def restore(self, images, routing):
        self.batches.append(images)
        return images + self.error, torch.tensor([[0.25, 0.75]]).expand(len(images), 2) + self.error


def test_psnr_of_a_known_difference():
    images = torch.zeros(2, 3, 4, 5)
    assert psnr_db(images, images) == EQUAL_DB
    assert psnr_db(images, images + 0.01) == pytest.approx(40, abs=1e-5)
    off = images.clone()
    off[0, 0, 0, 0] = 0.5
    assert psnr_db(images, off) == pytest.approx(10 * math.log10(120 / 0.25))
    assert psnr_db(images, images + math.nan) == psnr_db(images, images + math.inf) == 0


def test_every_photograph_and_every_size_has_a_record():
    paths = examples()
    assert len(paths) > 3
    records = compare(FakeRuntime(), FakeRuntime(1 / 255), paths)
    assert {name for record in records for name in record.photographs} == {path.name for path in paths}
    assert {(record.height, record.width) for record in records} == set(parity_sizes(None))
    for record in records:
        assert record.max_levels == pytest.approx(1, abs=1e-4)
        assert record.psnr_db == pytest.approx(20 * math.log10(255), abs=1e-3)
        assert record.gates_difference == pytest.approx(1 / 255, rel=1e-3)


def test_batches_hold_different_photographs():
    runtime = FakeRuntime()
    records = compare(FakeRuntime(), runtime, examples()[:3], batch=2)
    assert all(len(set(record.photographs)) == 2 for record in records)
    assert all(not torch.equal(batch[0], batch[1]) for batch in runtime.batches)


def test_non_finite_outputs_are_seen():
    record = compare(FakeRuntime(), FakeRuntime(math.nan), examples()[:1])[0]
    assert not record.finite
    with pytest.raises(ParityError, match="NaN"):
        check([record], "fp32")


@pytest.mark.parametrize("size_range", [None, (16, 4096), (16, 160), (64, 64), (300, 1000)])
def test_sizes_lie_in_the_range_and_differ_where_they_can(size_range):
    low, high = size_range or (1, 10**6)
    sizes = parity_sizes(size_range)
    assert all(low <= side <= high for size in sizes for side in size)
    if high - low > 100 and low < 100:
        assert len(sizes) == 3
        assert any(h == w for h, w in sizes) and any(h != w for h, w in sizes)
        assert any(h % 16 and w % 16 for h, w in sizes)


def test_photographs_are_scaled_to_size(tmp_path):
    gradient = np.linspace(0, 255, 80, dtype=np.uint8)[None, :, None].repeat(60, 0).repeat(3, 2)
    Image.fromarray(gradient).save(tmp_path / "ramp.png")
    pixels = photograph_at(tmp_path / "ramp.png", 30, 40)
    assert pixels.shape == (3, 30, 40) and pixels.dtype == torch.float32
    assert pixels.min() >= 0 and pixels.max() <= 1
    assert torch.all(pixels.diff(dim=2) >= 0) and pixels[0, 0, -1] - pixels[0, 0, 0] > 0.9


def test_only_what_is_within_tolerance_passes():
    assert TOLERANCES["fp32"].psnr_db == 80
    check([RIGHT, RIGHT], "fp32")
    for wrong in ({"psnr_db": 79.9}, {"max_levels": 1.1}, {"gates_difference": 0.002}, {"finite": False}):
        with pytest.raises(ParityError, match=r"64x64 on a\.jpg") as caught:
            check([RIGHT, replace(RIGHT, **wrong)], "fp32")
        assert caught.value.exit_code == 6


def test_one_value_far_off_is_seen_where_the_mean_is_small():
    class OneOff(FakeRuntime):
        def restore(self, images, routing):
            restored, gates = super().restore(images.clone(), routing)
            restored[0, 1, 5, 7] += 2 / 255
            return restored, gates

    (record,) = compare(FakeRuntime(), OneOff(), examples()[:1], shape=(128, 128))
    expected_db = 10 * math.log10(3 * 128 * 128 * 255**2 / 4)
    assert record.psnr_db == pytest.approx(expected_db, abs=1e-2) and expected_db > TOLERANCES["fp32"].psnr_db
    with pytest.raises(ParityError, match=r"2\.0 of 255 levels \(at most 1\)"):
        check([record], "fp32")
    check([record], "bf16")


def test_no_photographs_is_a_usage_error():
    with pytest.raises(ValueError, match="--photos"):
        compare(FakeRuntime(), FakeRuntime(), [])
