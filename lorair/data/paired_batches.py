"""Batches of the pairs of a folder, for training and for validation."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lorair.data.batches import VALIDATION_SEED, Batch, Batches, channels_first, to_float
from lorair.data.pairs import PairFolder
from lorair.data.windows import CropShapes, Window, centre, extended_cut, extended_size
from lorair.degradations import FloatImage


class PairedBatches(Batches):
    """Training batches: random crops of pairs, under the same flip and quarter turn on both sides.

    An expert's pairs are equally likely. A batch's crops are no larger than its smallest image, down to the smallest
    shape, to which smaller images are extended by reflection.
    """

    def __init__(
        self,
        folder: PairFolder,
        experts: Sequence[str],
        shapes: CropShapes,
        batch_size: int,
        steps: int,
        seed: int | tuple[int, ...],
        tasks: int | None = None,
    ) -> None:
        super().__init__(len(experts), batch_size, steps, seed, tasks)
        self.folder = folder
        self.shapes = shapes
        self._items = [folder.of_expert(expert) for expert in experts]
        if missing := [expert for expert, items in zip(experts, self._items, strict=True) if not items]:
            raise ValueError(f"no pairs train the experts {', '.join(missing)}")

    def plan(self, rng: np.random.Generator, labels: NDArray[np.int64]) -> tuple[Sequence[int], tuple[int, int]]:
        chosen = [self._items[label][int(rng.integers(len(self._items[label])))] for label in labels]
        if self.shapes.fixed:  # do not open the files of other processes' images
            return chosen, (self.shapes.smallest, self.shapes.smallest)
        sizes = [self.folder.size(index) for index in chosen]
        return chosen, self.shapes.draw(rng, min(map(min, sizes)), min(map(max, sizes)))

    def pair(
        self, item: int, label: int, height: int, width: int, rng: np.random.Generator
    ) -> tuple[FloatImage, FloatImage]:
        extended = extended_size(self.folder.size(item), height, width)
        window = Window.draw(rng, extended, height, width)
        degraded, clean = self.folder.read(item, rng, partial(extended_cut, window, extended))
        return to_float(degraded), to_float(clean)


class PairedValidation(Dataset[Batch]):
    """All pairs as batches of one image: its centre, at most `crop` pixels a side; None takes the whole image."""

    def __init__(self, folder: PairFolder, experts: Sequence[str], crop: int | None = None) -> None:
        self.folder = folder
        self.experts = tuple(experts)
        self.crop = crop

    def __len__(self) -> int:
        return len(self.folder)

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng((VALIDATION_SEED, index))
        pair = self.folder.read(index, rng, lambda image: centre(image, self.crop))
        degraded, clean = (channels_first(to_float(image)[None]) for image in pair)
        return Batch(degraded, clean, torch.tensor([self.experts.index(self.folder.source(index).expert)]))
