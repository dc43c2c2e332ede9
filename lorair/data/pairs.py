"""Pairs of degraded and clean image files, as published data sets hold them, read one at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lorair.data.batches import VALIDATION_SEED, to_float
from lorair.data.layout import Pair, find_pairs
from lorair.degradations import degrade, to_uint8
from lorair.errors import ImageError
from lorair.images import Samples, Uint8Image, read_image, size_of
from lorair.settings import Setting, Source


class PairFolder(Sequence[tuple[Uint8Image, Uint8Image]]):
    """The pairs of some sources below a root: item i is (degraded, clean), uint8 [H, W, 3] RGB each.

    Only names are kept in memory. `limit` is the largest number of pairs per source, evenly spaced. A degradation that
    is applied on reading is the same at every access of an item.
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
        """The source of item `index`."""
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

    def samples(self, index: int) -> tuple[Samples, Samples]:
        """Item `index` in the bit depth of its files, uint8 or uint16 [H, W, 3], for measuring."""
        pair = self._pairs[index][1]
        if pair.degraded is None:
            return self[index]
        degraded, clean = (read_image(self.root / path).pixels for path in (pair.degraded, pair.clean))
        if degraded.shape != clean.shape:
            raise _of_two_sizes(self.root, pair)
        return degraded, clean

    def read(
        self, index: int, rng: np.random.Generator, cut: Callable[[Uint8Image], Uint8Image] = lambda image: image
    ) -> tuple[Uint8Image, Uint8Image]:
        """Item `index` with `cut` applied to both decoded images; `rng` drives a degradation applied on reading."""
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


@dataclass(frozen=True, eq=False)
class BenchmarkPair:
    """A pair of a test set, both images uint8 or uint16 [H, W, 3] RGB, as their files hold them.

    Attributes:
        name: the file's path below the root.
        task: the benchmark's name, as published tables have it.
        expert: the matching degradation of a model, None where that is unknown.
        protocol: of the metrics it is measured by, a name of `lorair.evaluation.metrics.PROTOCOLS`.
    """

    name: str
    task: str
    expert: str | None
    protocol: str
    degraded: Samples
    clean: Samples


class BenchmarkPairs(Sequence[BenchmarkPair]):
    """A setting's test sets, read one pair at a time; `limit` is the largest number of each, evenly spaced."""

    def __init__(self, setting: Setting, root: Path, limit: int | None = None) -> None:
        self.setting = setting
        self.folder = PairFolder(root, setting.test, limit)

    def __len__(self) -> int:
        return len(self.folder)

    def __getitem__(self, index: int) -> BenchmarkPair:  # pyright: ignore[reportIncompatibleMethodOverride]
        source = self.folder.source(index)
        protocol = source.protocol or self.setting.protocol
        return BenchmarkPair(self.folder.name(index), source.name, source.expert, protocol, *self.folder.samples(index))


def _complete(source: Source, root: Path) -> tuple[Pair, ...]:
    found = find_pairs(source, root)
    advice = "`lorair data check` prints what is expected"
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
        f"{pair.degraded} and {pair.clean} in {root} differ in size; `lorair data check` lists all such pairs"
    )
