"""Which tile a launch takes: rows of conditions and a tile; the first row that fits the launch is used."""

from dataclasses import dataclass
from typing import Generic

from lorair_kernels.launch.tiles import TileT


@dataclass(frozen=True)
class Problem:
    """What a launch computes on.

    `itemsize` is bytes of an element, `capability` the GPU's (90 for sm_90, 0 where no GPU is used), `gated` the
    form, `tokens` the pixels of an image; `channels` and `ranks` are widths.
    """

    itemsize: int
    capability: int = 0
    gated: bool = False
    tokens: int = 0
    channels: int = 0
    ranks: int = 0


@dataclass(frozen=True)
class Row(Generic[TileT]):
    """A tile and its conditions: at most `itemsize`, `channels` and `ranks`, at least `tokens`.

    `gated` None fits both forms. `capability` is the lowest and the highest; the interpreter counts as 0.
    """

    tile: TileT
    itemsize: int = 4
    gated: bool | None = None
    tokens: int = 0
    channels: int = 2**31
    ranks: int = 2**31
    capability: tuple[int, int] = (0, 999)

    def fits(self, problem: Problem) -> bool:
        """Whether a problem meets every condition of the row."""
        low, high = self.capability
        return (
            problem.itemsize <= self.itemsize
            and self.gated in (None, problem.gated)
            and problem.tokens >= self.tokens
            and problem.channels <= self.channels
            and problem.ranks <= self.ranks
            and low <= problem.capability <= high
        )


@dataclass(frozen=True)
class Table(Generic[TileT]):
    """The rows of a kernel, at least one.

    `covers` names the size that one tile must hold entirely, `channels` or `ranks`: a row's condition on it is at
    most its tile's.
    """

    kernel: str
    rows: tuple[Row[TileT], ...]
    covers: str | None = None
