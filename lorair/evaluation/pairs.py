"""Sources of pairs other than settings."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from torch import Tensor

from lorair.data import BenchmarkPair, PhotographFolder, ValidationPairs
from lorair.images import Uint8Image, list_images, read_image

DEFAULT_PROTOCOL: Final = "basicsr-rgb"
SIDES: Final = (("input", "target"), ("lq", "gt"), ("degraded", "clean"))


class PairSource(Protocol):
    """Pairs that are read one at a time, as often as they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[BenchmarkPair]: ...


class FolderPairs:
    """The pairs of a folder TASK/input and TASK/target, or only input and target; names match except for their suffix.

    The sides may also be called lq and gt, or degraded and clean, in upper or lower case. A task named like one of
    `degradations` belongs to that expert. Raises ValueError where there are no such folders, or an image has no
    counterpart.
    """

    def __init__(self, folder: Path, degradations: Sequence[str]) -> None:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder of pairs")
        self.degradations = tuple(degradations)
        candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
        self._files = [(task.name, *files) for task in candidates for files in _matched(task)]
        if not self._files:
            raise ValueError(f"{folder}: no pairs of images; expected TASK/input and TASK/target, or input and target")

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[BenchmarkPair]:
        for task, degraded, clean in self._files:
            expert = task if task in self.degradations else None
            pixels = (read_image(path).pixels for path in (degraded, clean))
            yield BenchmarkPair(str(degraded), task, expert, DEFAULT_PROTOCOL, *pixels)


class PhotographPairs:
    """Clean photographs under each degradation, as `ValidationPairs` makes them: the same at every run."""

    def __init__(self, folder: Path, degradations: Sequence[str], crop: int | None = 512) -> None:
        photographs = PhotographFolder(folder, memory_mib=0)
        self.names = [path.name for path in photographs.paths]
        self._pairs = ValidationPairs(photographs, degradations, crop)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[BenchmarkPair]:
        for index, (degraded, clean, label) in enumerate(self._pairs):
            task = self._pairs.degradations[int(label)]
            name = self.names[index // len(self._pairs.degradations)]
            yield BenchmarkPair(name, task, task, DEFAULT_PROTOCOL, _eight_bit(degraded), _eight_bit(clean))


def _eight_bit(image: Tensor) -> Uint8Image:
    return (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def _matched(folder: Path) -> list[tuple[Path, Path]]:
    """The image files of both sides of a folder, paired by stem; none where it has no two sides."""
    below = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    sides = [(below[first], below[second]) for first, second in SIDES if first in below and second in below]
    if not sides:
        return []
    degraded, clean = (_images(side) for side in sides[0])
    if unmatched := sorted(degraded.keys() ^ clean.keys()):
        named = ", ".join(unmatched[:3]) + (", ..." if len(unmatched) > 3 else "")
        raise ValueError(
            f"{folder}: {len(unmatched)} images have no counterpart of the same name on the other side: {named}"
        )
    return [(path, clean[stem]) for stem, path in sorted(degraded.items())]


def _images(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in found:
            raise ValueError(f"{found[path.stem]} and {path} have the same name; keep one of them")
        found[path.stem] = path
    return found
