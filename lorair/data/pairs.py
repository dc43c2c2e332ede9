"""Pairs of degraded and clean image files, as published data sets hold them, for training, validation and tests."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lorair.data.batches import (
    VALIDATION_SEED,
    Batch,
    Batches,
    CropShapes,
    Window,
    centre,
    channels_first,
    to_float,
)
from lorair.data.layout import Pair, find_pairs
from lorair.degradations import FloatImage, degrade, to_uint8
from lorair.errors import ImageError
from lorair.images import Uint8Image, read_image, size_of
from lorair.settings import Setting, Source


class PairFolder(Sequence[tuple[Uint8Image, Uint8Image]]):
    """The pairs of some sources below a root: item i is (degraded, clean), uint8 [H, W, 3] RGB each.

    Nothing is kept in memory but names. `limit` takes that many pairs of a source, evenly spaced. A degradation that
    is made when an image is read is the same at every access of an item.
    Raises ImageError where a source has no pairs, or degraded images without a clean one.
    """

    def __init__(self, root: Path, sources: Sequence[Source], limit: int | None = None) -> None:
        self.root = root
        self._pairs = [(source, pair) for source in sources for pair in _spaced(_complete(source, root), limit)]

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[Uint8Image, Uint8Image]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.read(index, np.random.default_rng((VALIDATION_SEED, index)))

    def source(self, index: int) -> Source:
        """Where item `index` is from."""
        return self._pairs[index][0]

    def name(self, index: int) -> str:
        """The path of item `index` below the root, that of its degraded image where there is one."""
        return self._pairs[index][1].name

    def of_expert(self, expert: str) -> list[int]:
        """The items that an expert restores."""
        return [index for index, (source, _) in enumerate(self._pairs) if source.expert == expert]

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of an item, from its files' headers. Raises ImageError where the two differ."""
        pair = self._pairs[index][1]
        sizes = {size_of(self.root / path) for path in (pair.degraded, pair.clean) if path is not None}
        if len(sizes) > 1:
            raise _of_two_sizes(self.root, pair)
        return sizes.pop()

    def read(
        self, index: int, rng: np.random.Generator, cut: Callable[[Uint8Image], Uint8Image] = lambda image: image
    ) -> tuple[Uint8Image, Uint8Image]:
        """Item `index` after `cut`, which both images undergo as they were decoded; `rng` feeds a made degradation."""
        source, pair = self._pairs[index]
        clean = read_image(self.root / pair.clean).uint8_pixels()
        if pair.degraded is not None:
            degraded = read_image(self.root / pair.degraded).uint8_pixels()
            if degraded.shape != clean.shape:
                raise _of_two_sizes(self.root, pair)
            return cut(degraded), cut(clean)
        assert source.synthesis is not None
        clean = cut(clean)
        made = degrade(to_float(clean), source.synthesis.degradation, rng, **source.synthesis.severity)
        return to_uint8(made), clean


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
        if self.shapes.fixed:  # no need to look into the files of other processes' images
            return chosen, (self.shapes.smallest, self.shapes.smallest)
        sizes = [self.folder.size(index) for index in chosen]
        return chosen, self.shapes.draw(rng, min(map(min, sizes)), min(map(max, sizes)))

    def pair(
        self, item: int, label: int, height: int, width: int, rng: np.random.Generator
    ) -> tuple[FloatImage, FloatImage]:
        extended = _extended_size(self.folder.size(item), height, width)
        window = Window.draw(rng, extended, height, width)
        degraded, clean = self.folder.read(item, rng, partial(_cut, window, extended))
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


@dataclass(frozen=True, eq=False)
class BenchmarkPair:
    """A pair of a test set, both images uint8 [H, W, 3] RGB.

    Attributes:
        name: the file's path below the root.
        task: the benchmark's name, as published tables have it.
        expert: the degradation of a model that fits, None where that is unknown.
        protocol: of the metrics it is measured by, a name of `lorair.evaluation.metrics.PROTOCOLS`.
    """

    name: str
    task: str
    expert: str | None
    protocol: str
    degraded: Uint8Image
    clean: Uint8Image


class BenchmarkPairs(Sequence[BenchmarkPair]):
    """A setting's test sets, read one pair at a time; `limit` takes that many of each, evenly spaced."""

    def __init__(self, setting: Setting, root: Path, limit: int | None = None) -> None:
        self.setting = setting
        self.folder = PairFolder(root, setting.test, limit)

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, index: int) -> BenchmarkPair:  # pyright: ignore[reportIncompatibleMethodOverride]
        source = self.folder.source(index)
        protocol = source.protocol or self.setting.protocol
        return BenchmarkPair(self.folder.name(index), source.name, source.expert, protocol, *self.folder[index])


def _complete(source: Source, root: Path) -> tuple[Pair, ...]:
    found = find_pairs(source, root)
    advice = "`lorair data check` tells what is expected"
    if missing := found.without_clean or found.unlisted:
        what = "without a clean image" if found.without_clean else "listed but absent"
        raise ImageError(f"{source.name}: {len(missing)} degraded images {what} in {root}, as {missing[0]}; {advice}")
    if not found.pairs:
        raise ImageError(f"{source.name}: no images match {root / (source.degraded or source.clean[0])}; {advice}")
    return found.pairs


def _spaced(pairs: tuple[Pair, ...], limit: int | None) -> tuple[Pair, ...]:
    if limit is None or limit >= len(pairs):
        return pairs
    return tuple(pairs[index * len(pairs) // limit] for index in range(limit))


def _of_two_sizes(root: Path, pair: Pair) -> ImageError:
    return ImageError(
        f"{pair.degraded} and {pair.clean} in {root} have different sizes, so they are no pair; "
        "`lorair data check` finds all such"
    )


def _extended_size(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """The least size, in the orientation of `size`, that holds the crop in one of its two."""
    short, long = sorted((height, width))
    low, high = (short, long) if size[0] <= size[1] else (long, short)
    return max(size[0], low), max(size[1], high)


def _cut(window: Window, size: tuple[int, int], image: Uint8Image) -> Uint8Image:
    return window.cut(_extend(image, size))


def _extend(image: Uint8Image, size: tuple[int, int]) -> Uint8Image:
    below, beside = size[0] - image.shape[0], size[1] - image.shape[1]
    if not below and not beside:
        return image
    return np.pad(image, ((0, below), (0, beside), (0, 0)), mode="reflect" if min(image.shape[:2]) > 1 else "edge")
