"""What one program of each kernel computes, and how many warps and pipeline stages it takes."""

from dataclasses import asdict, dataclass
from typing import Any, TypeVar


@dataclass(frozen=True)
class Tile:
    """The part of every tile that is Triton's own."""

    warps: int
    stages: int

    @property
    def sides(self) -> dict[str, int]:
        """The lengths of the tile by name."""
        return {name: value for name, value in asdict(self).items() if name not in ("warps", "stages")}

    def arguments(self, **constants: object) -> dict[str, Any]:
        """Keyword arguments of a launch: the tile's sides in capitals, as the kernels name them, and `constants`."""
        sides = {name.upper(): length for name, length in self.sides.items()}
        options = {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}
        return sides | options | constants


TileT = TypeVar("TileT", bound=Tile)


@dataclass(frozen=True)
class MergeTile(Tile):
    """The merge kernels: rows x columns of a weight, in steps of `rank` ranks."""

    rows: int
    columns: int
    rank: int


@dataclass(frozen=True)
class PointwiseTile(Tile):
    """The 1x1 convolution: tokens (pixels) x outputs, in steps of `channels` input channels."""

    tokens: int
    outputs: int
    channels: int


@dataclass(frozen=True)
class FeedForwardTile(Tile):
    """The feed-forward half: tokens with all their channels, in steps of `hidden` hidden channels."""

    tokens: int
    channels: int
    hidden: int


@dataclass(frozen=True)
class LowrankTile(Tile):
    """The convolution with low-rank experts: tokens x outputs and all ranks, in steps of `channels`."""

    tokens: int
    outputs: int
    channels: int
    ranks: int


@dataclass(frozen=True)
class DepthwiseTile(Tile):
    """The depthwise convolution: rows x columns of pixels by `channels` channels."""

    rows: int
    columns: int
    channels: int


@dataclass(frozen=True)
class AttentionTile(Tile):
    """The channel attention's weights: outputs x channels."""

    outputs: int
    channels: int


@dataclass(frozen=True)
class LocalMeanTile(Tile):
    """The local mean: `steps` windows along the axis of the running sum, `width` sums next to each other."""

    steps: int
    width: int


@dataclass(frozen=True)
class WeightGradTile(Tile):
    """A weight's gradient: outputs x channels, summed over `part` tokens in steps of `tokens`."""

    outputs: int
    channels: int
    tokens: int
    part: int


@dataclass(frozen=True)
class SumTile(Tile):
    """The sums within sets: `width` numbers next to each other."""

    width: int
