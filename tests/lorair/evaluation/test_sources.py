"""Where pairs come from: folders of files, settings and degraded photographs."""

import shutil

import numpy as np
import pytest

from lorair.data import PhotographFolder, ValidationPairs
from lorair.evaluation import FolderPairs, PhotographPairs
from lorair.photographs import examples


@pytest.mark.parametrize("sides", [("input", "target"), ("LQ", "GT"), ("degraded", "clean")])
def test_folders_of_pairs(tmp_path, sides, save):
    saved = {}
    for seed, (task, name) in enumerate([("haze", "b.png"), ("haze", "a.png"), ("other", "a.tif")]):
        saved[task, name] = (
            save(tmp_path / task / sides[0] / name, seed),
            save(tmp_path / task / sides[1] / name, 9 + seed),
        )
    (tmp_path / "haze" / sides[1] / "notes.txt").write_text("not an image")
    pairs = FolderPairs(tmp_path, ("haze",))
    found = list(pairs)
    assert len(pairs) == len(found) == 3
    assert [(p.task, p.expert) for p in found] == [("haze", "haze"), ("haze", "haze"), ("other", None)]
    for p, key in zip(found, [("haze", "a.png"), ("haze", "b.png"), ("other", "a.tif")], strict=True):
        assert np.array_equal(p.degraded, saved[key][0])
        assert np.array_equal(p.clean, saved[key][1])


def test_a_folder_of_one_task(tmp_path, save):
    save(tmp_path / "rain" / "input" / "a.png", 0)
    save(tmp_path / "rain" / "target" / "a.webp", 1)
    assert [(p.task, p.name) for p in FolderPairs(tmp_path / "rain", ())] == [
        ("rain", str(tmp_path / "rain" / "input" / "a.png"))
    ]


def test_folders_that_are_no_pairs(tmp_path, save):
    with pytest.raises(ValueError, match="no such folder"):
        FolderPairs(tmp_path / "absent", ())
    with pytest.raises(ValueError, match="expected TASK/input and TASK/target"):
        FolderPairs(tmp_path, ())
    save(tmp_path / "rain" / "input" / "a.png", 0)
    save(tmp_path / "rain" / "target" / "b.png", 0)
    with pytest.raises(ValueError, match=r"2 images have no counterpart.*: a, b"):
        FolderPairs(tmp_path, ())
    shutil.copy(tmp_path / "rain" / "input" / "a.png", tmp_path / "rain" / "input" / "a.tif")
    with pytest.raises(ValueError, match="have the same name"):
        FolderPairs(tmp_path, ())


def test_photographs_are_degraded_as_for_validation():
    folder = examples()[0].parent
    expected = list(ValidationPairs(PhotographFolder(folder), ("rain", "jpeg"), crop=64))
    pairs = PhotographPairs(folder, ("rain", "jpeg"), crop=64)
    assert len(pairs) == len(expected)
    for found, (degraded, clean, label) in zip(pairs, expected, strict=True):
        assert found.task == found.expert == ("rain", "jpeg")[int(label)]
        for pixels, image in ((found.degraded, degraded), (found.clean, clean)):
            assert pixels.dtype == np.uint8
            assert np.allclose(pixels / 255, image[0].permute(1, 2, 0), atol=1e-6)
    assert [path.name for path in examples()] == [p.name for p in pairs][::2]
