"""The base of all training data: batches that depend only on a seed and a step."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
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
    """Training batches. Item `step` depends only on `seed` and `step`, and each of its images also on its place,
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
        """The share of one of `parts` processes: a contiguous part of the images of each batch.

        Raises ValueError where a batch cannot be divided evenly.
        """
        size, rest = divmod(self.batch_size, parts)
        if rest:
            raise ValueError(f"a batch of {self.batch_size} images cannot be divided evenly among {parts} processes")
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


def to_float(image: Uint8Image) -> FloatImage:
    """uint8 -> float32 in [0, 1]."""
    return np.ascontiguousarray(image, np.float32) / np.float32(255)


def channels_first(images: FloatImage) -> Tensor:
    """[B, H, W, 3] viewed as [B, 3, H, W] in the channels-last memory format, without a copy."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def loaded(batches: Batches, first: int, workers: int) -> Iterator[Batch]:
    """The batches from step `first` on, prepared by worker processes, or by this one where their number is 0."""
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(first, len(batches)),
        num_workers=workers,
        worker_init_fn=_use_one_thread,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    # A process forked while OpenCV's threads wait for work would wait for them forever; with one thread there are none.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    stream = iter(loader)
    cv2.setNumThreads(threads)
    yield from stream


def _use_one_thread(_worker: int) -> None:
    """Torch's own threads would compete with the training step."""
    torch.set_num_threads(1)
