"""Restoring files: what is written, skipped and reported, and what fails in between."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lorair.inference import plan_jobs, restore_files


def test_one_bad_file_and_one_failing_restoration_do_not_stop_the_rest(tmp_path: Path, identity, photograph):
    pixels = {name: photograph(tmp_path / f"{name}.png", width=50 + index) for index, name in enumerate("abcd")}
    (tmp_path / "b.png").write_bytes(b"no image")

    def fail(images):
        if images.shape[-1] == 52:
            raise RuntimeError("kernel failed")
        return images

    reported = []
    jobs = plan_jobs([str(tmp_path)], tmp_path / "out")
    records = restore_files(identity(change=fail), jobs, workers=2, on_record=reported.append)
    assert [record.status for record in records] == ["restored", "failed", "failed", "restored"]
    assert reported == records
    assert "not a readable" in records[1].reason
    assert records[2].reason == "RuntimeError: kernel failed"
    assert records[0].degradation == "rain"
    assert records[0].gates == {"haze": 0.25, "rain": 0.75}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]
    for name in "ad":
        assert np.array_equal(cv2.imread(str(tmp_path / f"out/{name}.png"))[..., ::-1], pixels[name])


def test_finished_files_are_skipped_unless_overwritten(tmp_path: Path, identity, photograph):
    pixels = photograph(tmp_path / "a.png")
    jobs = plan_jobs([str(tmp_path / "a.png")], tmp_path / "out")
    photograph(tmp_path / "out/a.png", height=8)
    runtime = identity()
    assert [record.status for record in restore_files(runtime, jobs)] == ["skipped"]
    assert runtime.restored == []
    assert Image.open(tmp_path / "out/a.png").height == 8
    assert [record.status for record in restore_files(runtime, jobs, overwrite=True)] == ["restored"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/a.png")), pixels)


def test_out_of_memory_is_reported_in_the_record_of_its_image(tmp_path: Path, identity, photograph):
    photograph(tmp_path / "a.png", 60, 60)
    expected = photograph(tmp_path / "b.png", 200, 260)
    photograph(tmp_path / "c.png", 60, 60)

    def fail(images):
        if images.shape[-1] > 130:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images

    records = restore_files(identity(change=fail), plan_jobs([str(tmp_path)], tmp_path / "out"))
    assert [len(record.notes) for record in records] == [0, 1, 0]
    assert "tiles of 128" in records[1].notes[0]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/b.png")), expected)


def test_routing_by_tile_and_lost_bits_are_reported(tmp_path: Path, identity, noise):
    cv2.imwrite(str(tmp_path / "a.png"), noise((90, 90, 3), np.uint16))
    jobs = plan_jobs([str(tmp_path / "a.png")], extension="jpg")
    (record,) = restore_files(identity(routes=False), jobs, tile=64)
    assert record.gates == pytest.approx({"haze": 0.4, "rain": 0.6})
    assert ["each tile separately" in note for note in record.notes] == [True, False]
    assert "JPEG holds 8 bits" in record.notes[1]


def test_an_interrupt_leaves_only_whole_files_and_a_rerun_resumes(tmp_path: Path, identity, photograph):
    for name in "abcdef":
        photograph(tmp_path / f"{name}.png")
    jobs = plan_jobs([str(tmp_path)], tmp_path / "out")
    runtime = identity()

    def interrupt(images):
        if len(runtime.restored) == 4:
            raise KeyboardInterrupt
        return images

    runtime.change = interrupt
    with pytest.raises(KeyboardInterrupt):
        restore_files(runtime, jobs, workers=2)
    done = sorted((tmp_path / "out").iterdir())
    assert len(done) <= 3
    for path in done:
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(tmp_path / path.name)))
    records = restore_files(identity(), jobs)
    assert [record.status for record in records] == ["skipped"] * len(done) + ["restored"] * (6 - len(done))


def test_a_failing_write_is_that_file_s_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, identity, photograph):
    photograph(tmp_path / "a.png")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    (record,) = restore_files(identity(), plan_jobs([str(tmp_path)], tmp_path / "out"))
    assert record.status == "failed"
    assert "No space left" in record.reason
    assert list((tmp_path / "out").iterdir()) == []
