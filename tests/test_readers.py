"""Whatever in this repository reads an image file sees the same image, and rejects the same files."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lorair_export.bundle import photograph_at
from lorair_export.quantization.calibration import Calibration, calibration_images
from lorair_serving.load import payloads
from lorair_serving.models.request_handler import ImageRequest, RequestHandler
from lorair_serving.repository import Service
from odd_images import OddFile, odd_files, unsupported_files
from PIL import Image

from lorair.data import BenchmarkPair, BenchmarkPairs, PairFolder, PhotographFolder
from lorair.data.check import check_data
from lorair.degradations import degrade_file
from lorair.errors import ImageError
from lorair.evaluation.pairs import FolderPairs, PhotographPairs
from lorair.images import Picture, read_image, size_of
from lorair.inference.files import restore_files
from lorair.inference.jobs import plan_jobs
from lorair.model import Routing
from lorair.settings import load_setting
from lorair.training import priors

FILES, UNSUPPORTED = odd_files(), unsupported_files()


class Seen:
    """A runtime that gives back what it gets, and keeps it."""

    name = "seen"
    degradations = ("noise", "rain")
    size_range = None

    def __init__(self) -> None:
        self.images: list[torch.Tensor] = []

    def route(self, images: torch.Tensor) -> Routing:
        gates = torch.tensor([[0.25, 0.75]])
        return Routing(gates.log(), gates, torch.zeros(1, 4))

    def restore(self, images: torch.Tensor, routing: Routing) -> tuple[torch.Tensor, torch.Tensor]:
        self.images.append(images)
        return images, routing.gates


def levels(image: torch.Tensor) -> np.ndarray:
    """[1, 3, H, W] or [3, H, W] in [0, 1] -> uint8 [H, W, 3]."""
    return (image.reshape(3, *image.shape[-2:]).permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)


def restored(path: Path) -> np.ndarray:
    runtime = Seen()
    (record,) = restore_files(runtime, plan_jobs([str(path)], path.parent / "out"))
    if record.status == "failed":
        raise ImageError(record.reason)
    return levels(runtime.images[0])


def served(path: Path) -> np.ndarray:
    handler = RequestHandler(Seen(), Service(tile=64, overlap=16, max_pixels=10_000, max_bytes=10**6))
    answer = handler.answer(ImageRequest(encoded=np.frombuffer(path.read_bytes(), np.uint8)))
    assert answer.encoded().size
    return answer.picture.uint8_pixels()


def pairs(path: Path, split: str, sides: tuple[str, str]) -> Path:
    """A folder in which the file is both sides of one pair."""
    for side in sides:
        folder = path.parent / "pairs" / split / "rain" / side
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    return path.parent / "pairs"


def both(degraded: np.ndarray, clean: np.ndarray) -> np.ndarray:
    assert np.array_equal(degraded, clean)
    return clean


def trained_on_pairs(path: Path) -> np.ndarray:
    root = pairs(path, "train", ("degraded", "clean"))
    folder = PairFolder(root, load_setting("pairs", root).train)
    image = both(*folder[0])
    assert folder.size(0) == image.shape[:2]
    return image


def evaluated_setting(path: Path) -> np.ndarray:
    pairs(path, "train", ("degraded", "clean"))
    root = pairs(path, "test", ("degraded", "clean"))
    pair = BenchmarkPairs(load_setting("pairs", root), root)[0]
    return in_full_depth(pair, path)


def evaluated_pairs(path: Path) -> np.ndarray:
    (pair,) = FolderPairs(pairs(path, ".", ("input", "target")), ("rain",))
    return in_full_depth(pair, path)


def in_full_depth(pair: BenchmarkPair, path: Path) -> np.ndarray:
    """What is measured keeps the bit depth of its file."""
    picture = read_image(path)
    assert both(pair.degraded, pair.clean).dtype == picture.pixels.dtype
    assert np.array_equal(pair.clean, picture.pixels)
    return Picture(pair.clean).uint8_pixels()


def evaluated_photographs(path: Path) -> np.ndarray:
    return next(iter(PhotographPairs(path.parent, ("noise",)))).clean


def checked(path: Path) -> np.ndarray:
    """Not what a check sees, but that it has no fault to find; pixels that end early show only when all are read."""
    root = pairs(path, "train", ("degraded", "clean"))
    quick, deep = (check_data(load_setting("pairs", root), root, deep).sources[0] for deep in (False, True))
    assert not quick.sizes_differ and not deep.sizes_differ
    assert quick.unreadable == deep.unreadable or path.name.startswith("cut_short")
    if deep.unreadable:
        raise ImageError(deep.unreadable[0][1])
    return read_image(path).uint8_pixels()


def measured_for_priors(path: Path) -> np.ndarray:
    (path.parent / "noise").mkdir()
    (path.parent / "noise" / path.name).write_bytes(path.read_bytes())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(priors, "mean_priors", lambda model, batches: next(iter(batches)).degraded)
        return levels(priors.priors_of_folders(Seen(), path.parent))


def calibrated(path: Path) -> np.ndarray:
    return levels(calibration_images(Calibration(path.parent, size=1), (), size_of(path))[0])


READERS: dict[str, Callable[[Path], np.ndarray]] = {
    "restore": restored,
    "serve": served,
    "train on photographs": lambda path: PhotographFolder(path.parent)[0],
    "train on pairs": trained_on_pairs,
    "data check": checked,
    "evaluate --pairs": evaluated_pairs,
    "evaluate --photos": evaluated_photographs,
    "evaluate --setting": evaluated_setting,
    "priors": measured_for_priors,
    "calibrate": calibrated,
    "check a bundle": lambda path: levels(photograph_at(path, *size_of(path))),
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, OddFile], Path]:
    def write(name: str, file: OddFile) -> Path:
        path = tmp_path / "photographs" / f"{name}.{file.suffix}"
        path.parent.mkdir()
        path.write_bytes(file.data)
        return path

    return write


@pytest.mark.parametrize("name", FILES)
def test_every_reader_sees_what_the_file_was_made_of(name, write):
    file = FILES[name]
    path = write(name, file)
    seen = read_image(path).uint8_pixels()
    assert seen.shape == file.shows.shape and seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - file.shows).max() <= file.levels
    assert size_of(path) == seen.shape[:2]
    for reader, read in READERS.items():
        assert np.array_equal(read(path), seen), reader
        clear(path)


@pytest.mark.parametrize("name", FILES)
def test_what_is_made_of_a_file_is_made_of_its_image(name, write, tmp_path):
    """The load's requests, and degraded files: as from a PNG file of what the file shows."""
    path = write(name, FILES[name])
    plain = tmp_path / "plain" / path.name
    plain.parent.mkdir()
    plain.write_bytes(png_of(read_image(path).uint8_pixels()))
    sizes = [size_of(path)]
    assert payloads([path], sizes, ["noise"]) == payloads([plain], sizes, ["noise"])
    if read_image(path).pixels.dtype == np.uint8:
        for source in (path, plain):
            degrade_file(source, source.parent / "out.png", "noise", 1, {})
        assert (path.parent / "out.png").read_bytes() == (plain.parent / "out.png").read_bytes()


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_every_reader_rejects_what_none_can_read(name, write):
    path = write(name, UNSUPPORTED[name])
    for reader, read in READERS.items():
        if reader in ("calibrate", "check a bundle"):
            continue
        with pytest.raises(ImageError):
            pytest.fail(f"{reader} read {read(path).shape}")
        clear(path)
    for read in (lambda: photograph_at(path, 48, 40), lambda: payloads([path], [(48, 40)], ["noise"])):
        with pytest.raises(ImageError, match=name):
            read()


def clear(path: Path) -> None:
    """Remove everything else from the folder of the file."""
    for other in sorted(path.parent.rglob("*"), reverse=True):
        if other != path:
            other.rmdir() if other.is_dir() else other.unlink()


def png_of(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
