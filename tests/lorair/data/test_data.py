from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from lorair.data import CropShapes, DegradedBatches, PhotographFolder, ValidationPairs
from lorair.errors import ImageError
from lorair.images import psnr

KINDS = ("noise", "rain", "haze", "snow", "low_light", "jpeg")
SIZES = ((80, 64), (64, 100), (72, 72))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index, (height, width) in enumerate(SIZES):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def batches(folder: Path, **changes: object) -> DegradedBatches:
    settings = {"shapes": CropShapes(32, 64, 1.5), "batch_size": 6, "steps": 4, "seed": 1}
    return DegradedBatches(PhotographFolder(folder), KINDS, **(settings | changes))  # pyright: ignore


def test_folder_gives_the_pixels_of_its_images(folder: Path) -> None:
    photographs = PhotographFolder(folder)
    assert [image.shape[:2] for image in photographs] == list(SIZES)
    assert np.array_equal(photographs[1], np.asarray(Image.open(folder / "1.png")))


def test_memory_limit_changes_nothing_but_memory(folder: Path) -> None:
    kept, decoded = PhotographFolder(folder), PhotographFolder(folder, memory_mib=0)
    assert all(np.array_equal(a, b) for a, b in zip(kept, decoded, strict=True))
    assert decoded[0] is not decoded[0] and kept[0] is kept[0]


def test_folder_without_images_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no photographs in"):
        PhotographFolder(tmp_path)
    with pytest.raises(ImageError, match="is not a folder"):
        PhotographFolder(tmp_path / "absent")


def test_damaged_image_is_named(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        PhotographFolder(folder)


def test_gamma_raises_each_photograph_to_a_different_power(folder: Path) -> None:
    plain, varied = batches(folder)[0].clean.double(), batches(folder, gamma=2.0)[0].clean.double()
    inside = (plain > 0) & (plain < 1)
    powers = [(varied[i][inside[i]].log() / plain[i][inside[i]].log()) for i in range(len(plain))]
    found = torch.stack([power.median() for power in powers])
    assert all(torch.allclose(power, middle, rtol=1e-3) for power, middle in zip(powers, found, strict=True))
    assert found.min() >= 0.5 and found.max() <= 2 and found.max() / found.min() > 1.2


def test_batch_is_float_in_range_and_labelled_evenly(folder: Path) -> None:
    degraded, clean, labels = batches(folder)[0]
    assert degraded.shape == clean.shape and degraded.shape[:2] == (6, 3)
    assert degraded.dtype == clean.dtype == torch.float32 and labels.dtype == torch.int64
    assert degraded.min() >= 0 and degraded.max() <= 1
    assert sorted(labels.tolist()) == list(range(len(KINDS)))


def test_clean_crop_is_a_turned_piece_of_a_photograph(folder: Path) -> None:
    photographs = PhotographFolder(folder)
    crop = batches(folder, shapes=CropShapes(16, 16))[0].clean[0].permute(1, 2, 0).mul(255).round().byte().numpy()
    turns = [np.rot90(side, k) for k in range(4) for side in (crop, crop[:, ::-1])]
    windows = [np.lib.stride_tricks.sliding_window_view(image, (16, 16, 3)) for image in photographs]
    assert any((view == turn).all(axis=(-1, -2, -3)).any() for view in windows for turn in turns)


def test_shapes_cover_their_range(folder: Path) -> None:
    shapes = [tuple(batches(folder, steps=60)[step].clean.shape[2:]) for step in range(60)]
    short = [min(shape) for shape in shapes]
    assert min(short) < 36 and max(short) > 58 and max(short) <= 64
    assert any(h > w for h, w in shapes) and any(w > h for h, w in shapes)
    assert max(max(shape) / min(shape) for shape in shapes) <= 1.5 + 1 / 32


def test_only_seed_and_step_decide(folder: Path) -> None:
    data = batches(folder, batch_size=3)
    in_process = [data[step] for step in (2, 3)]
    loader = DataLoader(batches(folder, batch_size=3), batch_size=None, sampler=range(2, 4), num_workers=2)
    for expected, got in zip(in_process, loader, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))
    assert not torch.equal(data[2].clean, batches(folder, batch_size=3, seed=2)[2].clean)


def test_fewer_tasks_share_a_batch_and_all_are_seen(folder: Path) -> None:
    data = batches(folder, tasks=2, steps=60, shapes=CropShapes(16, 16))
    counts: Counter[int] = Counter()
    for step in range(60):
        labels = data[step].labels.tolist()
        assert sorted(Counter(labels).values()) == [3, 3]
        counts.update(labels)
    assert min(counts.values()) > 0.5 * 60 and len(counts) == len(KINDS)


def test_too_large_crop_is_rejected(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"crops of 65 pixels.*short side of 64"):
        batches(folder, shapes=CropShapes(65, 65))


def test_degradation_without_a_procedure_is_rejected(folder: Path) -> None:
    with pytest.raises(ValueError, match="unknown degradation 'fog'; choose one of noise"):
        DegradedBatches(PhotographFolder(folder), ("rain", "fog"), CropShapes(16, 16), 2, 1, 0)


def test_validation_pairs_are_every_photograph_under_every_degradation(folder: Path) -> None:
    pairs = ValidationPairs(PhotographFolder(folder), KINDS, crop=48)
    items = list(pairs)
    assert len(items) == len(pairs) == len(SIZES) * len(KINDS)
    assert [int(item.labels) for item in items] == list(range(len(KINDS))) * len(SIZES)
    centre = np.asarray(Image.open(folder / "0.png"))[16:64, 8:56]
    assert np.array_equal(items[0].clean[0].permute(1, 2, 0).mul(255).round().byte().numpy(), centre)
    again = list(ValidationPairs(PhotographFolder(folder), KINDS, crop=48))
    assert all(torch.equal(a.degraded, b.degraded) for a, b in zip(items, again, strict=True))


def test_validation_severity_is_fixed_where_asked(folder: Path) -> None:
    pairs = ValidationPairs(PhotographFolder(folder), ("jpeg",), crop=None, severity={"jpeg": {"quality": 10}})
    drawn = ValidationPairs(PhotographFolder(folder), ("jpeg",), crop=None)
    assert pairs[0].clean.shape[2:] == SIZES[0]
    assert psnr(pairs[0].degraded, pairs[0].clean) < psnr(drawn[0].degraded, drawn[0].clean)
