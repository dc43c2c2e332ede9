"""Restoring arrays and files over a runtime whose answers are known."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import lorair.inference.runtime
from lorair.cli.restore import restore as restore_command
from lorair.errors import LorairError, RuntimeUnavailableError
from lorair.inference.files import restore_files
from lorair.inference.jobs import Job, plan_jobs
from lorair.inference.restore import pad_reflected, restore_arrays
from lorair.model.router import Routing


class Identity:
    """Gives back what it gets, notes what it was asked, and refuses what it is told to refuse."""

    name = "identity"
    degradations = ("haze", "rain")

    def __init__(self, size_range=None, routes=True, refuse=lambda images: None):
        self.size_range = size_range
        self.routes = routes
        self.refuse = refuse
        self.routed: list[tuple[int, ...]] = []
        self.restored: list[tuple[tuple[int, ...], Routing | None]] = []

    def route(self, images):
        self.routed.append(tuple(images.shape[-2:]))
        gates = torch.tensor([[0.25, 0.75]])
        return Routing(gates.log(), gates, torch.zeros(1, 4)) if self.routes else None

    def pin(self, degradation, batch):
        if degradation not in self.degradations:
            raise ValueError(f"unknown degradation {degradation!r}")
        gates = torch.eye(2)[[self.degradations.index(degradation)] * batch]
        return Routing(None, gates, torch.zeros(batch, 4))

    def restore(self, images, routing):
        assert images.dtype == torch.float32
        assert 0 <= images.min() <= images.max() <= 1
        self.restored.append((tuple(images.shape[-2:]), routing))
        self.refuse(images)
        return images.clone(), torch.tensor([[0.4, 0.6]]) if routing is None else routing.gates


def noise(shape: tuple[int, ...], dtype=np.uint8) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def photograph(path: Path, height: int = 40, width: int = 50) -> np.ndarray:
    pixels = noise((height, width, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize("tile", [None, 32])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_identity_gives_arrays_back_bit_for_bit(dtype, tile: int | None):
    shapes = [(40, 70, 3), (33, 20, 4), (50, 41), (40, 40, 1), (9, 64, 2), (1, 1, 3)]
    images = [noise(shape, dtype) for shape in shapes]
    restored = restore_arrays(Identity(), images, tile=tile, overlap=8)
    for before, after in zip(images, restored, strict=True):
        assert after.dtype == before.dtype
        assert np.array_equal(after, before)


def test_every_level_of_sixteen_bits_survives():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(restore_arrays(Identity(), [levels], tile=64)[0], levels)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pil_images_come_back_in_their_mode(mode: str):
    shape = {"L": (30, 20), "LA": (30, 20, 2), "RGB": (30, 20, 3), "RGBA": (30, 20, 4), "I;16": (30, 20)}[mode]
    image = Image.fromarray(noise(shape, np.uint16 if mode == "I;16" else np.uint8))
    image.info["icc_profile"] = b"profile"
    restored = restore_arrays(Identity(), [image])[0]
    assert restored.mode == mode
    assert np.array_equal(np.asarray(restored), np.asarray(image))
    assert restored.info == image.info


def test_colour_given_to_a_gray_image_is_averaged_and_alpha_is_left_alone():
    class Tinted(Identity):
        def restore(self, images, routing):
            return images * torch.tensor([0.0, 0.5, 1.0])[:, None, None], routing.gates

    gray_alpha = np.full((8, 8, 2), 200, np.uint8)
    restored = restore_arrays(Tinted(), [gray_alpha])[0]
    assert np.array_equal(restored[..., 0], np.full((8, 8), 100))
    assert np.array_equal(restored[..., 1], gray_alpha[..., 1])


def test_an_image_is_routed_once_and_whole_for_all_its_tiles():
    runtime = Identity()
    restore_arrays(runtime, [noise((100, 70, 3))], tile=32, overlap=8)
    assert runtime.routed == [(100, 70)]
    assert len(runtime.restored) > 4
    assert {shape for shape, _ in runtime.restored} == {(32, 32)}
    assert len({id(routing) for _, routing in runtime.restored}) == 1


def test_a_named_degradation_is_pinned_instead_of_routed():
    runtime = Identity()
    restore_arrays(runtime, [noise((20, 20, 3))], degradation="rain")
    assert runtime.routed == []
    assert runtime.restored[0][1].gates.tolist() == [[0, 1]]


def test_sizes_that_the_runtime_does_not_take_are_padded_and_tiled():
    runtime = Identity(size_range=(48, 64))
    images = [noise((20, 100, 3)), noise((1, 130, 3)), noise((64, 64, 3))]
    restored = restore_arrays(runtime, images, overlap=16)
    assert all(np.array_equal(after, before) for before, after in zip(images, restored, strict=True))
    assert all(48 <= side <= 64 for shape, _ in runtime.restored for side in shape)


@pytest.mark.parametrize(("size", "side"), [(1, 5), (2, 9), (3, 4), (5, 30)])
def test_padding_reflects_as_numpy_does(size: int, side: int):
    image = torch.rand(1, 3, size, 40)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (0, side - size), (0, 0)), mode="reflect")
    assert np.array_equal(pad_reflected(image, side).numpy(), expected)


def test_what_the_runtime_cannot_do_is_refused():
    pixels = [noise((20, 20, 3))]
    with pytest.raises(ValueError, match="from 48 pixels a side to 64; got tiles of 128"):
        restore_arrays(Identity(size_range=(48, 64)), pixels, tile=128)
    with pytest.raises(ValueError, match="overlap"):
        restore_arrays(Identity(), pixels, tile=64, overlap=40)
    with pytest.raises(ValueError, match="snow"):
        restore_arrays(Identity(), pixels, degradation="snow")
    with pytest.raises(ValueError, match="got P"):
        restore_arrays(Identity(), [Image.new("P", (4, 4))])


def test_values_that_are_not_finite_are_an_error():
    class Overflowing(Identity):
        def restore(self, images, routing):
            return images / 0, routing.gates

    with pytest.raises(LorairError, match="not finite"):
        restore_arrays(Overflowing(), [noise((8, 8, 3))])


def test_plans_keep_structure_and_name_results(tmp_path: Path):
    for name in ("a.jpg", "sub/b.PNG", "sub/.hidden.png", "notes.txt"):
        photograph(tmp_path / name) if name != "notes.txt" else (tmp_path / name).write_text("")

    def planned(*inputs: str, output: str | None = None, **options) -> dict[str, str]:
        target = None if output is None else tmp_path / output
        jobs = plan_jobs([str(tmp_path / name) for name in inputs], target, **options)
        return {str(job.source.relative_to(tmp_path)): str(job.target.relative_to(tmp_path)) for job in jobs}

    assert planned("a.jpg") == {"a.jpg": "a_restored.jpg"}
    assert planned("a.jpg", output="b.png") == {"a.jpg": "b.png"}
    assert planned("", output="out") == {"a.jpg": "out/a.jpg"}
    assert planned("", output="out", recursive=True) == {"a.jpg": "out/a.jpg", "sub/b.PNG": "out/sub/b.PNG"}
    assert planned("**/*", output="out") == {"a.jpg": "out/a.jpg", "sub/b.PNG": "out/sub/b.PNG"}
    assert planned("a.jpg", "", "sub", output="o", extension="png", suffix="_x") == {
        "a.jpg": "o/a_x.png",
        "sub/b.PNG": "o/b_x.png",
    }


def test_earlier_results_are_no_inputs(tmp_path: Path):
    for name in ("a.png", "a_restored.png", "out/a.png"):
        photograph(tmp_path / name)
    assert plan_jobs([str(tmp_path)]) == [Job(tmp_path / "a.png", tmp_path / "a_restored.png")]
    (tmp_path / "a_restored.png").unlink()
    inside = plan_jobs([str(tmp_path)], tmp_path / "out", recursive=True)
    assert inside == [Job(tmp_path / "a.png", tmp_path / "out/a.png")]


def test_plans_that_would_lose_something_are_refused(tmp_path: Path):
    for name in ("a.jpg", "a.png", "sub/a.jpg"):
        photograph(tmp_path / name)
    files = [str(tmp_path / "a.jpg"), str(tmp_path / "sub/a.jpg")]
    with pytest.raises(ValueError, match="both be written to"):
        plan_jobs(files, tmp_path / "out")
    with pytest.raises(ValueError, match="both be written to"):
        plan_jobs([str(tmp_path)], tmp_path / "out", extension="png")
    with pytest.raises(ValueError, match="would be overwritten"):
        plan_jobs([str(tmp_path)], tmp_path)
    with pytest.raises(ValueError, match="would be overwritten"):
        plan_jobs(files[:1], tmp_path / "sub" / ".." / "a.jpg")
    with pytest.raises(ValueError, match="is a file"):
        plan_jobs(files, tmp_path / "b.png")
    with pytest.raises(ValueError, match="no such file"):
        plan_jobs([str(tmp_path / "missing.png")])
    with pytest.raises(ValueError, match="no images"):
        plan_jobs([str(tmp_path / "*.tif")])
    with pytest.raises(ValueError, match="--ext"):
        plan_jobs(files[:1], extension="bmp")


def test_one_bad_file_and_one_failing_restoration_do_not_stop_the_rest(tmp_path: Path):
    pixels = {name: photograph(tmp_path / f"{name}.png", width=50 + index) for index, name in enumerate("abcd")}
    (tmp_path / "b.png").write_bytes(b"no image")

    def refuse(images):
        if images.shape[-1] == 52:
            raise RuntimeError("kernel failed")

    told = []
    jobs = plan_jobs([str(tmp_path)], tmp_path / "out")
    records = restore_files(Identity(refuse=refuse), jobs, workers=2, on_record=told.append)
    assert [record.status for record in records] == ["restored", "failed", "failed", "restored"]
    assert told == records
    assert "not a readable" in records[1].reason
    assert records[2].reason == "RuntimeError: kernel failed"
    assert records[0].degradation == "rain"
    assert records[0].gates == {"haze": 0.25, "rain": 0.75}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]
    for name in "ad":
        assert np.array_equal(cv2.imread(str(tmp_path / f"out/{name}.png"))[..., ::-1], pixels[name])


def test_finished_files_are_skipped_until_told_to_overwrite(tmp_path: Path):
    pixels = photograph(tmp_path / "a.png")
    jobs = plan_jobs([str(tmp_path / "a.png")], tmp_path / "out")
    photograph(tmp_path / "out/a.png", height=8)
    runtime = Identity()
    assert [record.status for record in restore_files(runtime, jobs)] == ["skipped"]
    assert runtime.restored == []
    assert Image.open(tmp_path / "out/a.png").height == 8
    assert [record.status for record in restore_files(runtime, jobs, overwrite=True)] == ["restored"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/a.png")), pixels)


def test_out_of_memory_is_told_in_the_record_of_its_image(tmp_path: Path):
    photograph(tmp_path / "a.png", 60, 60)
    expected = photograph(tmp_path / "b.png", 200, 260)
    photograph(tmp_path / "c.png", 60, 60)

    def refuse(images):
        if images.shape[-1] > 130:
            raise torch.OutOfMemoryError("CUDA out of memory")

    records = restore_files(Identity(refuse=refuse), plan_jobs([str(tmp_path)], tmp_path / "out"))
    assert [len(record.notes) for record in records] == [0, 1, 0]
    assert "tiles of 128" in records[1].notes[0]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/b.png")), expected)


def test_routing_by_tile_and_lost_bits_are_told(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), noise((90, 90, 3), np.uint16))
    jobs = plan_jobs([str(tmp_path / "a.png")], extension="jpg")
    (record,) = restore_files(Identity(routes=False), jobs, tile=64)
    assert record.gates == pytest.approx({"haze": 0.4, "rain": 0.6})
    assert ["each tile by itself" in note for note in record.notes] == [True, False]
    assert "JPEG holds 8 bits" in record.notes[1]


def test_an_interrupt_leaves_whole_files_only_and_a_rerun_goes_on(tmp_path: Path):
    for name in "abcdef":
        photograph(tmp_path / f"{name}.png")
    jobs = plan_jobs([str(tmp_path)], tmp_path / "out")
    runtime = Identity()

    def interrupt(images):
        if len(runtime.restored) == 4:
            raise KeyboardInterrupt

    runtime.refuse = interrupt
    with pytest.raises(KeyboardInterrupt):
        restore_files(runtime, jobs, workers=2)
    done = sorted((tmp_path / "out").iterdir())
    assert len(done) <= 3
    for path in done:
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(Image.open(tmp_path / path.name)))
    records = restore_files(Identity(), jobs)
    assert [record.status for record in records] == ["skipped"] * len(done) + ["restored"] * (6 - len(done))


def test_a_failing_write_is_that_file_s_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photograph(tmp_path / "a.png")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    (record,) = restore_files(Identity(), plan_jobs([str(tmp_path)], tmp_path / "out"))
    assert record.status == "failed"
    assert "No space left" in record.reason
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    opened = []

    def open_identity(target: str, device: str) -> Identity:
        opened.append((target, device))
        if device == "cuda":
            raise RuntimeUnavailableError("no GPU")
        return Identity()

    monkeypatch.setattr(lorair.inference.runtime, "open_runtime", open_identity)
    app = typer.Typer()
    app.command()(restore_command)
    runner = CliRunner()
    return lambda *arguments: (runner.invoke(app, [str(argument) for argument in arguments]), opened)


def test_the_command_restores_a_file_beside_it_with_the_default_model(tmp_path: Path, command):
    pixels = photograph(tmp_path / "a[b].png")
    result, opened = command(tmp_path / "a[b].png")
    assert result.exit_code == 0
    assert opened == [("default", "auto")]
    assert "rain 0.75, haze 0.25" in result.stderr
    assert "a[b]_restored.png" in result.stderr
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a[b]_restored.png")), pixels)


def test_the_command_prints_json_lines_and_ends_with_1_if_a_file_failed(tmp_path: Path, command):
    photograph(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    result, _ = command(tmp_path, "-o", tmp_path / "out", "--json", "--degradation", "haze")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["status"], line["degradation"]) for line in lines] == [
        ("restored", "haze"),
        ("failed", None),
    ]
    assert lines[0]["target"] == str(tmp_path / "out/a.png")
    assert "empty" in lines[1]["reason"]
    again, _ = command(tmp_path, "-o", tmp_path / "out")
    assert again.stderr.splitlines()[-1] == "0 restored, 1 skipped (--overwrite redoes them), 1 failed"
    quiet, _ = command(tmp_path, "-o", tmp_path / "out", "-q")
    assert quiet.stderr.splitlines() == [f"{tmp_path}/b.png: failed, {tmp_path}/b.png: the file is empty"]


def test_the_command_leaves_errors_to_the_program(tmp_path: Path, command):
    photograph(tmp_path / "a.png")
    assert isinstance(command(tmp_path / "none.png")[0].exception, ValueError)
    assert isinstance(command(tmp_path / "a.png", "--tile", 16)[0].exception, ValueError)
    assert command(tmp_path / "a.png", "--device", "cuda")[0].exception.exit_code == 3
