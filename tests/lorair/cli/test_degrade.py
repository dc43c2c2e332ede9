"""`lorair degrade` on files, against the degradations applied by hand."""

import zlib
from functools import partial

import numpy as np
import pytest
from PIL import Image

from lorair.degradations import DEGRADATIONS, degrade
from lorair.degradations.files import DRAWS, SHEET_HEIGHT


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png"):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def run(run_command):
    return partial(run_command, "lorair", "degrade")


def test_name_and_seed_decide_the_result(run, photographs, tmp_path):
    out = tmp_path / "noisy"
    assert run(photographs, "-o", out, "--kind", "noise", "--severity", "sigma=25", "--seed", 7) == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    for source in photographs.iterdir():
        clean = np.asarray(Image.open(source), np.float32) / np.float32(255)
        expected = degrade(clean, "noise", np.random.default_rng((7, zlib.crc32(source.name.encode()))), sigma=25)
        written = np.asarray(Image.open(out / f"{source.stem}.png"))
        assert np.array_equal(written, np.rint(expected * 255))


def test_outputs_that_exist_are_kept(run, photographs, tmp_path):
    target = tmp_path / "wet.png"
    target.write_bytes(b"mine")
    assert run(photographs / "a.jpg", "-o", target, "--kind", "rain") == 0
    assert target.read_bytes() == b"mine"
    assert run(photographs / "a.jpg", "-o", target, "--kind", "rain", "--overwrite") == 0
    assert Image.open(target).size == (64, 48)


def test_the_sheet_shows_every_kind_in_a_row(run, photographs, tmp_path):
    assert run(photographs / "b.png", "-o", tmp_path / "sheet.png", "--sheet") == 0
    sheet = Image.open(tmp_path / "sheet.png")
    assert sheet.height == len(DEGRADATIONS) * SHEET_HEIGHT
    assert sheet.width == (1 + DRAWS) * round(SHEET_HEIGHT * 64 / 48)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --kind, or --sheet"),
        (("--kind", "fog"), "unknown degradation 'fog'"),
        (("--kind", "noise", "--severity", "layers=2"), "noise has no severity 'layers'; it has sigma"),
        (("--kind", "noise", "--severity", "sigma=much"), "--severity must be NAME=NUMBER, such as sigma=25"),
    ],
)
def test_wrong_usage_is_reported(run, capsys, photographs, tmp_path, arguments, message):
    assert run(photographs, "-o", tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
