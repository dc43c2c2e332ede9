"""Photographs, and the degraded pairs that are made of them for training and validation."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lorair.degradations import DEGRADATIONS, FloatImage, degrade
from lorair.errors import ImageError

Uint8Image = NDArray[np.uint8]

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VALIDATION_SEED: Final = 1


class PhotographFolder(Sequence[Uint8Image]):
    """The image files of a folder in name order, each uint8 [H, W, 3] RGB.

    Files are decoded once and kept until `memory_mib` is full; later ones are decoded at every access.
    Raises ImageError where the folder has no images or a file cannot be read.
    """

    def __init__(self, folder: Path, memory_mib: int = 2048) -> None:
        self.paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
        if not self.paths:
            raise ImageError(f"no photographs in {folder}; expected files ending in {', '.join(SUFFIXES)}")
        self._kept: dict[int, Uint8Image] = {}
        self._sides: list[tuple[int, int]] = []
        room = memory_mib * 2**20
        for index, path in enumerate(self.paths):
            image = _decode(path)
            self._sides.append((min(image.shape[:2]), max(image.shape[:2])))
            if image.nbytes <= room:
                self._kept[index] = image
                room -= image.nbytes
        self.short_side = min(short for short, _ in self._sides)
        self.long_side = max(long for _, long in self._sides)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Uint8Image:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._kept[index] if index in self._kept else _decode(self.paths[index])

    def holding(self, height: int, width: int) -> list[int]:
        """Indices of the photographs from which such a crop can be cut, turned by 90 degrees where needed."""
        low, high = sorted((height, width))
        return [index for index, (short, long) in enumerate(self._sides) if short >= low and long >= high]


class Batch(NamedTuple):
    """`degraded` and `clean` float32 [B, 3, H, W] in [0, 1]; `labels` int64 [B], indices of degradations."""

    degraded: Tensor
    clean: Tensor
    labels: Tensor


@dataclass(frozen=True)
class CropShapes:
    """Crop sizes of a stage: the short side is log-uniform in smallest..largest, the aspect uniform in 1..aspect."""

    smallest: int
    largest: int
    aspect: float = 1.0

    def draw(self, rng: np.random.Generator, photographs: PhotographFolder) -> tuple[int, int]:
        """Height and width, portrait or landscape, that at least one photograph holds."""
        largest = min(self.largest, photographs.short_side)
        short = round(math.exp(rng.uniform(math.log(self.smallest), math.log(largest))))
        long = min(round(short * rng.uniform(1, self.aspect)), photographs.long_side)
        return (short, long) if rng.random() < 0.5 else (long, short)


class DegradedBatches(Dataset[Batch]):
    """Training batches: random crops under flips and quarter turns, each with one degradation.

    Item `step` depends on `seed` and `step` alone, so any number of workers and any resumption give the same
    batches. `tasks` degradations share a batch evenly, drawn anew for every batch, all of them by default. A
    photograph is raised to a power, log-uniform in 1/gamma..gamma, before it is degraded.
    """

    def __init__(
        self,
        photographs: PhotographFolder,
        degradations: Sequence[str],
        shapes: CropShapes,
        batch_size: int,
        steps: int,
        seed: int | tuple[int, ...],
        tasks: int | None = None,
        gamma: float = 1.0,
    ) -> None:
        if photographs.short_side < shapes.smallest:
            raise ValueError(
                f"crops of {shapes.smallest} pixels need photographs at least as large; "
                f"the smallest has a short side of {photographs.short_side}: remove it or choose a smaller crop"
            )
        _check_known(degradations)
        self.photographs = photographs
        self.degradations = tuple(degradations)
        self.shapes = shapes
        self.batch_size = batch_size
        self.steps = steps
        self.seed = seed if isinstance(seed, tuple) else (seed,)
        self.tasks = len(degradations) if tasks is None else tasks
        self.gamma = gamma

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        return (self[step] for step in range(self.steps))

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((*self.seed, step))
        height, width = self.shapes.draw(rng, self.photographs)
        candidates = self.photographs.holding(height, width)
        tasks = rng.permutation(len(self.degradations))[: self.tasks]
        labels = np.resize(tasks, self.batch_size)
        clean = np.empty((self.batch_size, height, width, 3), np.float32)
        degraded = np.empty_like(clean)
        for position, label in enumerate(labels):
            photograph = self.photographs[int(rng.choice(candidates))]
            exposure = self.gamma ** rng.uniform(-1, 1)
            clean[position] = _random_crop(photograph, height, width, rng) ** np.float32(exposure)
            degraded[position] = degrade(clean[position], self.degradations[label], rng)
        return Batch(_channels_first(degraded), _channels_first(clean), torch.from_numpy(labels))


class ValidationPairs(Dataset[Batch]):
    """Every photograph under every degradation, as batches of one image, the same ones at every call.

    An image is the photograph's centre, at most `crop` pixels a side; None takes the whole photograph.
    `severity` fixes parameters by degradation, as in `{"noise": {"sigma": 25}}`.
    """

    def __init__(
        self,
        photographs: Sequence[Uint8Image],
        degradations: Sequence[str],
        crop: int | None = 512,
        severity: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        _check_known(degradations)
        self.photographs = photographs
        self.degradations = tuple(degradations)
        self.crop = crop
        self.severity = severity or {}

    def __len__(self) -> int:
        return len(self.photographs) * len(self.degradations)

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Batch:
        photograph, label = divmod(index, len(self.degradations))
        kind = self.degradations[label]
        clean = _to_float(_centre(self.photographs[photograph], self.crop))
        rng = np.random.default_rng((VALIDATION_SEED, index))
        degraded = degrade(clean, kind, rng, **self.severity.get(kind, {}))
        return Batch(_channels_first(degraded[None]), _channels_first(clean[None]), torch.tensor([label]))


def use_one_thread(_worker: int) -> None:
    """A loader worker's set-up: OpenCV's and torch's own threads would compete with the training step."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _check_known(degradations: Sequence[str]) -> None:
    if unknown := sorted(set(degradations) - set(DEGRADATIONS)):
        raise ValueError(f"no procedure makes {', '.join(unknown)}; lorair can train on {', '.join(DEGRADATIONS)}")


def _decode(path: Path) -> Uint8Image:
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise ImageError(f"cannot read the photograph {path}: {error}; remove or replace it") from error


def _random_crop(photograph: Uint8Image, height: int, width: int, rng: np.random.Generator) -> FloatImage:
    image = np.rot90(photograph, int(rng.integers(4)))
    if image.shape[0] < height or image.shape[1] < width:
        image = np.rot90(image)
    if rng.random() < 0.5:
        image = image[:, ::-1]
    top = int(rng.integers(image.shape[0] - height + 1))
    left = int(rng.integers(image.shape[1] - width + 1))
    return _to_float(image[top : top + height, left : left + width])


def _centre(image: Uint8Image, side: int | None) -> Uint8Image:
    if side is None:
        return image
    top, left = (max(0, (size - side) // 2) for size in image.shape[:2])
    return image[top : top + side, left : left + side]


def _to_float(image: Uint8Image) -> FloatImage:
    return np.ascontiguousarray(image, np.float32) / np.float32(255)


def _channels_first(images: FloatImage) -> Tensor:
    """[B, H, W, 3] seen as [B, 3, H, W] in the channels-last memory format, without a copy."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)
