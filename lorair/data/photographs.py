"""Photographs, and the degraded pairs that are made of them for training and validation."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lorair.data.batches import VALIDATION_SEED, Batch, Batches, channels_first, to_float
from lorair.data.windows import CropShapes, Window, centre
from lorair.degradations import DEGRADATIONS, FloatImage, degrade
from lorair.errors import ImageError, UnknownDegradationError
from lorair.images import FORMATS, Uint8Image, list_images, read_image


class PhotographFolder(Sequence[Uint8Image]):
    """The image files of a folder in name order, each uint8 [H, W, 3] RGB.

    Files are decoded once and kept until `memory_mib` is full; later ones are decoded at every access.
    Raises ImageError where the folder has no images or a file cannot be read.
    """

    def __init__(self, folder: Path, memory_mib: int = 2048) -> None:
        if not folder.is_dir():
            raise ImageError(f"{folder} is not a folder; name one that holds photographs")
        self.paths = list_images(folder)
        if not self.paths:
            raise ImageError(f"no photographs in {folder}; expected files ending in {', '.join(FORMATS)}")
        self._kept: dict[int, Uint8Image] = {}
        self._sides: list[tuple[int, int]] = []
        room = memory_mib * 2**20
        for index, path in enumerate(self.paths):
            image = read_image(path).uint8_pixels()
            self._sides.append((min(image.shape[:2]), max(image.shape[:2])))
            if image.nbytes <= room:
                self._kept[index] = image
                room -= image.nbytes
        self.short_side = min(short for short, _ in self._sides)
        self.long_side = max(long for _, long in self._sides)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Uint8Image:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._kept[index] if index in self._kept else read_image(self.paths[index]).uint8_pixels()

    def holding(self, height: int, width: int) -> list[int]:
        """Indices of the photographs that hold a crop of this size, rotated by 90 degrees where needed."""
        low, high = sorted((height, width))
        return [index for index, (short, long) in enumerate(self._sides) if short >= low and long >= high]


class DegradedBatches(Batches):
    """Training batches: random crops under flips and quarter turns, each with one degradation.

    A photograph is raised to a power, log-uniform in 1/gamma..gamma, before it is degraded.
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
        super().__init__(len(degradations), batch_size, steps, seed, tasks)
        self.photographs = photographs
        self.degradations = tuple(degradations)
        self.shapes = shapes
        self.gamma = gamma

    def plan(self, rng: np.random.Generator, labels: NDArray[np.int64]) -> tuple[Sequence[int], tuple[int, int]]:
        height, width = self.shapes.draw(rng, self.photographs.short_side, self.photographs.long_side)
        return rng.choice(self.photographs.holding(height, width), len(labels)).tolist(), (height, width)

    def pair(
        self, item: int, label: int, height: int, width: int, rng: np.random.Generator
    ) -> tuple[FloatImage, FloatImage]:
        photograph = self.photographs[item]
        exposure = np.float32(self.gamma ** rng.uniform(-1, 1))
        clean = to_float(Window.draw(rng, photograph.shape, height, width).cut(photograph)) ** exposure
        return degrade(clean, self.degradations[label], rng), clean


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
        clean = to_float(centre(self.photographs[photograph], self.crop))
        rng = np.random.default_rng((VALIDATION_SEED, index))
        degraded = degrade(clean, kind, rng, **self.severity.get(kind, {}))
        return Batch(channels_first(degraded[None]), channels_first(clean[None]), torch.tensor([label]))


def _check_known(degradations: Sequence[str]) -> None:
    if unknown := sorted(set(degradations) - set(DEGRADATIONS)):
        raise UnknownDegradationError(unknown[0], DEGRADATIONS)
