"""What all training data share: batches that follow from a seed and a step, and random windows of images."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lorair.degradations import FloatImage
from lorair.images import Uint8Image

VALIDATION_SEED: Final = 1


class Batch(NamedTuple):
    """`degraded` and `clean` float32 [B, 3, H, W] in [0, 1]; `labels` int64 [B], indices of experts."""

    degraded: Tensor
    clean: Tensor
    labels: Tensor


class Batches(Dataset[Batch], ABC):
    """Training batches. Item `step` depends on `seed` and `step` alone, and each of its images on its place besides,
    so any number of workers, any division among processes and any resumption give the same ones.

    `tasks` of the experts share a batch evenly, drawn anew for every batch, all of them by default.
    """

    def __init__(
        self, experts: int, batch_size: int, steps: int, seed: int | tuple[int, ...], tasks: int | None = None
    ) -> None:
        self.experts = experts
        self.batch_size = batch_size
        self.steps = steps
        self.seed = seed if isinstance(seed, tuple) else (seed,)
        self.tasks = tasks
        self.rows = range(batch_size)

    def share(self, part: int, parts: int) -> Self:
        """These batches as one of `parts` processes has them: of each, its own run of images and no others.

        Raises ValueError where a batch has no such equal parts.
        """
        size, rest = divmod(self.batch_size, parts)
        if rest:
            raise ValueError(f"a batch of {self.batch_size} images has no {parts} equal parts, one for each process")
        own = copy.copy(self)
        own.rows = range(part * size, (part + 1) * size)
        return own

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        return (self[step] for step in range(self.steps))

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((*self.seed, step))
        labels = np.resize(rng.permutation(self.experts)[: self.tasks], self.batch_size)
        items, (height, width) = self.plan(rng, labels)
        of_row = rng.spawn(self.batch_size)
        degraded = np.empty((len(self.rows), height, width, 3), np.float32)
        clean = np.empty_like(degraded)
        for place, row in enumerate(self.rows):
            degraded[place], clean[place] = self.pair(items[row], labels[row], height, width, of_row[row])
        return Batch(channels_first(degraded), channels_first(clean), torch.from_numpy(labels[self.rows]))

    @abstractmethod
    def plan(self, rng: np.random.Generator, labels: NDArray[np.int64]) -> tuple[Sequence[int], tuple[int, int]]:
        """What the images of a batch are cut from, for their labels int64 [B], and their common height and width."""

    @abstractmethod
    def pair(
        self, item: int, label: int, height: int, width: int, rng: np.random.Generator
    ) -> tuple[FloatImage, FloatImage]:
        """A random window of one item, degraded and clean, each float32 [height, width, 3] in [0, 1]."""


@dataclass(frozen=True)
class CropShapes:
    """Crop sizes of a stage: the short side is log-uniform in smallest..largest, the aspect uniform in 1..aspect."""

    smallest: int
    largest: int
    aspect: float = 1.0

    @property
    def fixed(self) -> bool:
        """Whether every crop is the same square."""
        return self.smallest == self.largest and self.aspect == 1

    def draw(self, rng: np.random.Generator, short_side: int, long_side: int) -> tuple[int, int]:
        """Height and width, portrait or landscape, within the sides of the images but never below `smallest`."""
        largest = max(self.smallest, min(self.largest, short_side))
        short = round(math.exp(rng.uniform(math.log(self.smallest), math.log(largest))))
        long = max(short, min(round(short * rng.uniform(1, self.aspect)), long_side))
        return (short, long) if rng.random() < 0.5 else (long, short)


@dataclass(frozen=True)
class Window:
    """A crop of an image after quarter turns and a flip; the same window cuts both images of a pair."""

    turns: int
    flip: bool
    top: int
    left: int
    height: int
    width: int

    @classmethod
    def draw(cls, rng: np.random.Generator, size: tuple[int, ...], height: int, width: int) -> "Window":
        """A window of an image of `size` (height, width), which holds the crop in one orientation at least."""
        turns = int(rng.integers(4))
        if not _holds(_turned(size, turns), height, width):
            turns += 1
        flip = bool(rng.random() < 0.5)
        full_height, full_width = _turned(size, turns)
        top, left = int(rng.integers(full_height - height + 1)), int(rng.integers(full_width - width + 1))
        return cls(turns, flip, top, left, height, width)

    def cut(self, image: Uint8Image) -> Uint8Image:
        """The view of `image`, [H, W, 3], that the window shows."""
        turned = np.rot90(image, self.turns)
        turned = turned[:, ::-1] if self.flip else turned
        return turned[self.top : self.top + self.height, self.left : self.left + self.width]


def centre(image: Uint8Image, side: int | None) -> Uint8Image:
    """The middle of an image, at most `side` pixels a side; None takes all of it."""
    if side is None:
        return image
    top, left = (max(0, (size - side) // 2) for size in image.shape[:2])
    return image[top : top + side, left : left + side]


def to_float(image: Uint8Image) -> FloatImage:
    """uint8 -> float32 in [0, 1]."""
    return np.ascontiguousarray(image, np.float32) / np.float32(255)


def channels_first(images: FloatImage) -> Tensor:
    """[B, H, W, 3] seen as [B, 3, H, W] in the channels-last memory format, without a copy."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def loaded(batches: Batches, first: int, workers: int) -> Iterator[Batch]:
    """The batches from step `first` on, prepared by so many processes, 0 for this one."""
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, len(batches)),
        num_workers=workers,
        worker_init_fn=_use_one_thread,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    # A process forked while OpenCV's threads stand waiting for work would wait for them for ever; one thread is none.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    stream = iter(loader)
    cv2.setNumThreads(threads)
    yield from stream


def _use_one_thread(_worker: int) -> None:
    """Torch's own threads would compete with the training step."""
    torch.set_num_threads(1)


def _turned(size: tuple[int, ...], turns: int) -> tuple[int, int]:
    height, width = size[:2]
    return (width, height) if turns % 2 else (height, width)


def _holds(size: tuple[int, int], height: int, width: int) -> bool:
    return size[0] >= height and size[1] >= width
