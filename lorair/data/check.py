"""Check whether a data set on disk is complete."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lorair.data.layout import Found, find_pairs
from lorair.errors import ImageError
from lorair.images import read_image, size_of
from lorair.settings import Count, Evidence, Setting, Source

Size = tuple[int, int]


@dataclass(frozen=True)
class SourceReport:
    """The result for one source; paths are relative to the root.

    Attributes:
        name: the source's.
        split: train or test.
        expert: the degradation that its images have.
        looked_in: the glob, or globs, of the source.
        paths: how well its folders are known.
        pairs: how many were found.
        expected: the published number of pairs.
        without_clean: degraded images without a clean one.
        unlisted: names in the source's list without a file.
        sizes_differ: degraded images whose clean image differs in size.
        unreadable: images and the reasons.
    """

    name: str
    split: str
    expert: str
    looked_in: str
    paths: Evidence
    pairs: int
    expected: Count
    without_clean: tuple[str, ...]
    unlisted: tuple[str, ...]
    sizes_differ: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]

    @property
    def as_published(self) -> bool:
        """Whether the number of pairs is the published one; where none is known, whether there are any."""
        return self.pairs > 0 and self.expected.pairs in (None, self.pairs)

    @property
    def usable(self) -> bool:
        """Whether there are pairs and every one can be read."""
        return self.pairs > 0 and not (self.without_clean or self.unlisted or self.sizes_differ or self.unreadable)


@dataclass(frozen=True)
class DataReport:
    """All sources of a setting; `unused_clean` are clean files without a degraded file."""

    sources: tuple[SourceReport, ...]
    unused_clean: tuple[str, ...]

    def complete(self, partial: bool = False) -> bool:
        """Whether nothing is missing or wrong; `partial` accepts counts that differ from the published ones."""
        return not self.unused_clean and all(
            source.usable and (partial or source.as_published) for source in self.sources
        )


@dataclass(frozen=True)
class DataCheck:
    """Whether the data of a setting is complete.

    Attributes:
        setting: its name.
        root: the folder that holds the data.
        complete: whether nothing is missing or wrong.
        sources: the result for each source.
        unused_clean: clean files without a degraded file.
    """

    setting: str
    root: str
    complete: bool
    sources: tuple[SourceReport, ...]
    unused_clean: tuple[str, ...]


def check_data(
    setting: Setting, root: Path, deep: bool = False, on_file: Callable[[int, int], None] = lambda done, total: None
) -> DataReport:
    """Compare the files below `root` with what the setting expects.

    Headers are read in parallel, with `deep` all pixels; `on_file` is called with the files done and their total.
    Raises ImageError where `root` is not a folder.
    """
    if not root.is_dir():
        raise ImageError(f"{root} is not a folder; name the one that holds the data")
    sources = [("train", source) for source in setting.train] + [("test", source) for source in setting.test]
    found = [_find(source, root) for _, source in sources]
    files = sorted({path for one in found for pair in one.pairs for path in (pair.clean, pair.degraded) if path})
    sizes = _sizes(root, files, deep, on_file)
    reports = [_report(source, split, one, sizes) for (split, source), one in zip(sources, found, strict=True)]
    return DataReport(tuple(reports), _unused_clean(found))


def _find(source: Source, root: Path) -> Found:
    try:
        return find_pairs(source, root)
    except ImageError:
        return Found((), unlisted=(str(source.listed),))


def _sizes(root: Path, files: list[str], deep: bool, on_file: Callable[[int, int], None]) -> dict[str, Size | str]:
    """The size of each image, or why it cannot be read."""
    sizes: dict[str, Size | str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, size in zip(files, pool.map(partial(_size, root, deep=deep), files), strict=True):
            sizes[path] = size
            on_file(len(sizes), len(files))
    return sizes


def _size(root: Path, path: str, deep: bool) -> Size | str:
    try:
        if not deep:
            return size_of(root / path)
        height, width, _ = read_image(root / path).pixels.shape
        return height, width
    except (ImageError, OSError) as error:
        return str(error).removeprefix(f"{root / path}: ")


def _report(source: Source, split: str, found: Found, sizes: dict[str, Size | str]) -> SourceReport:
    own = {path for pair in found.pairs for path in (pair.clean, pair.degraded) if path}
    unreadable = tuple((path, size) for path in sorted(own) if isinstance(size := sizes[path], str))
    broken = {path for path, _ in unreadable}
    differing = (
        pair.degraded
        for pair in found.pairs
        if pair.degraded and not {pair.degraded, pair.clean} & broken and sizes[pair.degraded] != sizes[pair.clean]
    )
    return SourceReport(
        name=source.name,
        split=split,
        expert=source.expert,
        looked_in=source.degraded or " ".join(source.clean),
        paths=source.paths,
        pairs=len(found.pairs),
        expected=source.count,
        without_clean=found.without_clean,
        unlisted=found.unlisted,
        sizes_differ=tuple(differing),
        unreadable=unreadable,
    )


def _unused_clean(found: Iterable[Found]) -> tuple[str, ...]:
    """Clean files without a degraded one. A source that leaves files to no other source is a subset on purpose, so
    that what its clean folder has beyond it is no mistake."""
    found = list(found)
    claimed = {path for one in found for pair in one.pairs for path in (pair.degraded, pair.clean)}
    claimed |= {path for one in found for path in one.without_clean}
    whole = [one.clean for one in found if one.left_out <= claimed]
    return tuple(sorted(set().union(*whole) - claimed))
