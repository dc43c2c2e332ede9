"""Pairs of image files: which files pair, what a batch holds, and what a check of the data finds."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lorair.data import BenchmarkPairs, CropShapes, PairedBatches, PairedValidation, PairFolder
from lorair.data.batches import loaded
from lorair.data.check import check_data
from lorair.data.layout import find_pairs
from lorair.errors import ImageError
from lorair.settings import Count, Setting, Source, Synthesis

SIZES = ((40, 56), (64, 48), (50, 50))
RAIN = Source("rain", ("derain",), "rain", ("rain/gt/{name}",), "rain/in/*")
HAZE = Source("haze", ("dehaze",), "haze", ("haze/gt/{id}.png",), "haze/in/*/*", r"[^/]+/(?P<id>[^_]+)_.*")
NOISE = Source("noise", ("denoise",), "noise", ("flat/*",), synthesis=Synthesis("noise", {"sigma": 25}))
EXPERTS = ("rain", "haze", "noise")


def save(path: Path, pixels: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def coordinates(height: int, width: int) -> np.ndarray:
    """Pixels that tell where they are: row, column, and a gradient of both."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y, x, y + x], axis=2).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index, (height, width) in enumerate(SIZES):
        clean = save(tmp_path / f"rain/gt/{index}.png", coordinates(height, width))
        save(tmp_path / f"rain/in/{index}.png", clean + 100)
    clean = save(tmp_path / "haze/gt/7.png", coordinates(44, 44))
    for part, name in (("a", "7_0.8"), ("b", "7_1")):
        save(tmp_path / f"haze/in/{part}/{name}.png", clean + 50)
    save(tmp_path / "flat/grey.png", np.full((200, 220, 3), 128, np.uint8))
    (tmp_path / "rain/in/notes.txt").write_text("not an image")
    return tmp_path


def batches(root: Path, **changes: object) -> PairedBatches:
    settings = {"shapes": CropShapes(16, 32, 1.5), "batch_size": 6, "steps": 8, "seed": 1}
    return PairedBatches(PairFolder(root, (RAIN, HAZE, NOISE)), EXPERTS, **(settings | changes))  # pyright: ignore


def setting(*sources: Source) -> Setting:
    return Setting(
        "t", ("derain", "dehaze", "denoise"), tuple(s.expert for s in sources), "basicsr-y", sources, sources
    )


def test_a_clean_file_may_serve_many_degraded_ones(root: Path) -> None:
    pairs = find_pairs(HAZE, root).pairs
    assert [pair.degraded for pair in pairs] == ["haze/in/a/7_0.8.png", "haze/in/b/7_1.png"]
    assert {pair.clean for pair in pairs} == {"haze/gt/7.png"}


def test_a_list_and_a_pattern_leave_files_out(root: Path) -> None:
    (root / "list.txt").write_text("0.png\n2.png\n9.png\n")
    found = find_pairs(replace(RAIN, listed="list.txt"), root)
    assert [pair.degraded for pair in found.pairs] == ["rain/in/0.png", "rain/in/2.png"]
    assert found.unlisted == ("9.png",) and found.left_out == {"rain/in/1.png"}
    found = find_pairs(replace(RAIN, pattern="(?P<name>[12].*)"), root)
    assert found.left_out == {"rain/in/0.png"}


def test_files_never_pair_by_their_order(root: Path) -> None:
    (root / "rain/gt/1.png").rename(root / "rain/gt/1b.png")
    found = find_pairs(RAIN, root)
    assert found.without_clean == ("rain/in/1.png",) and len(found.pairs) == 2
    with pytest.raises(ImageError, match=r"1 degraded images without a clean image .*rain/in/1\.png; .*data check"):
        PairFolder(root, (RAIN,))


def test_both_sides_of_a_pair_show_the_same_place(root: Path) -> None:
    for degraded, clean, labels in batches(root):
        offset = (degraded - clean).mul(255).round()
        for label, difference in zip(labels.tolist(), offset, strict=True):
            if EXPERTS[label] != "noise":
                assert (difference == {"rain": 100, "haze": 50}[EXPERTS[label]]).all()


def test_crops_are_windows_of_the_files_under_turns_and_flips(root: Path) -> None:
    seen = set()
    for _, clean, labels in batches(root, steps=30):
        for image, label in zip(clean.mul(255).round().int(), labels.tolist(), strict=True):
            if EXPERTS[label] == "noise":
                continue
            row, column = image[0], image[1]
            assert torch.equal(image[2], row + column)
            steps = [(int(field[1, 0] - field[0, 0]), int(field[0, 1] - field[0, 0])) for field in (row, column)]
            assert sorted(map(abs, steps[0])) == sorted(map(abs, steps[1])) == [0, 1]
            seen.add(tuple(steps))
    assert len(seen) == 8, "all quarter turns and flips occur"


def test_experts_share_every_batch_however_many_files_they_have(root: Path) -> None:
    for batch in batches(root, batch_size=9):
        assert Counter(batch.labels.tolist()) == {0: 3, 1: 3, 2: 3}


def test_an_experts_pairs_are_equally_likely(tmp_path: Path) -> None:
    for shade in range(4):
        for side in ("in", "gt"):
            save(tmp_path / f"rain/{side}/{shade}.png", np.full((20, 20, 3), shade, np.uint8))
    data = PairedBatches(PairFolder(tmp_path, (RAIN,)), ("rain",), CropShapes(16, 16), 100, 4, seed=0)
    drawn = Counter(round(255 * shade) for batch in data for shade in batch.clean[:, 0, 0, 0].tolist())
    assert sorted(drawn) == [0, 1, 2, 3] and min(drawn.values()) > 70 and max(drawn.values()) < 130


def test_only_seed_and_step_decide(root: Path) -> None:
    data = batches(root)
    for expected, got in zip([data[2], data[3]], loaded(batches(root, steps=4), 2, workers=2), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))
    assert not torch.equal(data[2].labels, data[3].labels) or not torch.equal(data[2].clean, data[3].clean)
    assert not torch.equal(data[2].clean, batches(root, seed=2)[2].clean)


def test_processes_share_a_batch(root: Path) -> None:
    whole = batches(root, batch_size=6)
    parts = [whole.share(part, 3)[1] for part in range(3)]
    for tensor, pieces in zip(whole[1], zip(*parts, strict=True), strict=True):
        assert torch.equal(tensor, torch.cat(pieces)) and all(len(piece) == 2 for piece in pieces)
    with pytest.raises(ValueError, match="6 images cannot be divided evenly among 4"):
        whole.share(0, 4)


def test_crops_stay_within_the_batch_and_small_images_are_reflected(root: Path) -> None:
    shapes = [batch.clean.shape[2:] for batch in batches(root, shapes=CropShapes(16, 400, 2), steps=40)]
    assert max(max(shape) for shape in shapes) <= 44 and max(min(shape) for shape in shapes) > 36
    only = PairedBatches(PairFolder(root, (HAZE,)), ("haze",), CropShapes(60, 60), 1, 20, seed=0)
    reflected = np.pad(coordinates(44, 44), ((0, 16), (0, 16), (0, 0)), mode="reflect")
    turned = [np.rot90(side, k) for k in range(4) for side in (reflected, reflected[:, ::-1])]
    for batch in only:
        crop = batch.clean[0].permute(1, 2, 0).mul(255).round().byte().numpy()
        assert any(np.array_equal(crop, image) for image in turned)


def test_noise_is_made_when_read_and_the_same_at_every_access(root: Path) -> None:
    folder = PairFolder(root, (NOISE,))
    degraded, clean = folder[0]
    assert np.array_equal(clean, np.asarray(Image.open(root / "flat/grey.png")))
    assert np.std(degraded.astype(float) - clean) == pytest.approx(25, rel=0.02)
    assert np.array_equal(degraded, folder[0][0])


def test_sides_of_two_sizes_are_rejected_by_name(root: Path) -> None:
    save(root / "rain/gt/0.png", coordinates(40, 57))
    folder = PairFolder(root, (RAIN,))
    for read in (folder.size, folder.__getitem__):
        with pytest.raises(ImageError, match=r"rain/in/0\.png and rain/gt/0\.png .* differ in size"):
            read(0)


def test_validation_is_the_centre_of_every_pair(root: Path) -> None:
    pairs = PairedValidation(PairFolder(root, (RAIN, HAZE)), EXPERTS, crop=20)
    assert len(pairs) == 5 and [int(batch.labels) for batch in pairs] == [0, 0, 0, 1, 1]
    expected = np.asarray(Image.open(root / "rain/in/0.png"))[10:30, 18:38]
    assert np.array_equal(pairs[0].degraded[0].permute(1, 2, 0).mul(255).round().byte().numpy(), expected)
    assert len(PairedValidation(PairFolder(root, (RAIN, HAZE), limit=1), EXPERTS)) == 2


def test_benchmark_pairs_name_task_expert_and_protocol(root: Path) -> None:
    pairs = BenchmarkPairs(setting(RAIN, replace(HAZE, protocol="matlab-y")), root)
    assert [(pair.task, pair.expert, pair.protocol) for pair in pairs] == [
        *[("rain", "rain", "basicsr-y")] * 3,
        *[("haze", "haze", "matlab-y")] * 2,
    ]
    assert pairs[3].name == "haze/in/a/7_0.8.png" and np.array_equal(pairs[3].degraded, pairs[3].clean + 50)


def test_check_finds_what_is_wrong(root: Path) -> None:
    complete = setting(replace(RAIN, count=Count("verified", 3)), HAZE, NOISE)
    assert check_data(complete, root, deep=True).complete()
    assert not check_data(setting(replace(RAIN, count=Count("verified", 4)), HAZE, NOISE), root).complete()
    assert check_data(setting(replace(RAIN, count=Count("verified", 4)), HAZE, NOISE), root).complete(partial=True)

    save(root / "rain/gt/spare.png", coordinates(8, 8))
    save(root / "rain/in/lonely.png", coordinates(8, 8))
    save(root / "rain/gt/0.png", coordinates(40, 57))
    (root / "rain/in/1.png").write_bytes(b"nothing")
    whole = (root / "rain/gt/2.png").read_bytes()
    (root / "rain/gt/2.png").write_bytes(whole[: len(whole) // 2])
    for deep, unreadable in ((False, ["rain/in/1.png"]), (True, ["rain/gt/2.png", "rain/in/1.png"])):
        report = check_data(setting(RAIN, HAZE, NOISE), root, deep)
        rain = report.sources[0]
        assert rain.without_clean == ("rain/in/lonely.png",) and rain.sizes_differ == ("rain/in/0.png",)
        assert [path for path, _ in rain.unreadable] == unreadable
        assert report.unused_clean == ("rain/gt/spare.png",) and not report.complete(partial=True)
        assert [source.usable for source in report.sources[:3]] == [False, True, True]


def test_a_subset_on_purpose_has_no_unused_clean_files(root: Path) -> None:
    subset = replace(RAIN, pattern="(?P<name>[12].*)")
    assert check_data(setting(subset), root).unused_clean == ()
    rest = replace(RAIN, name="rest", pattern="(?P<name>0.*)")
    (root / "rain/in/0.png").unlink()
    assert check_data(setting(subset, replace(rest, expert="other")), root).unused_clean == ("rain/gt/0.png",)
