"""Random windows of images: how large a batch's crops are, and where each is cut."""

import math
from dataclasses import dataclass

import numpy as np

from lorair.images import Uint8Image


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


def extended_size(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """The least size, in the orientation of `size`, that holds the crop in one of its two."""
    short, long = sorted((height, width))
    low, high = (short, long) if size[0] <= size[1] else (long, short)
    return max(size[0], low), max(size[1], high)


def extended_cut(window: Window, size: tuple[int, int], image: Uint8Image) -> Uint8Image:
    """What a window shows of an image that is first extended by reflection, below and to the right, to `size`."""
    return window.cut(_extend(image, size))


def _turned(size: tuple[int, ...], turns: int) -> tuple[int, int]:
    height, width = size[:2]
    return (width, height) if turns % 2 else (height, width)


def _holds(size: tuple[int, int], height: int, width: int) -> bool:
    return size[0] >= height and size[1] >= width


def _extend(image: Uint8Image, size: tuple[int, int]) -> Uint8Image:
    below, right = size[0] - image.shape[0], size[1] - image.shape[1]
    if not below and not right:
        return image
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="reflect" if min(image.shape[:2]) > 1 else "edge")
