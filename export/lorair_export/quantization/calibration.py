"""How large a convolution's inputs grow on photographs, and the 8-bit scale that loses least of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lorair.degradations import DEGRADATIONS, degrade
from lorair.images import FORMATS, list_images
from lorair.photographs import examples
from lorair_export.bundle import photograph_at
from lorair_export.graph import Feed, observed
from lorair_export.spec import Format

if TYPE_CHECKING:
    import onnx

# Logarithmic bins need no range beforehand: 32 of them per octave, from 2^-24 to 2^24.
OCTAVES, PER_OCTAVE = 24, 32
CENTRES = np.exp2((np.arange(2 * OCTAVES * PER_OCTAVE) + 0.5) / PER_OCTAVE - OCTAVES)
# Clipping points to choose from, as shares of the largest magnitude.
CLIPPING = np.exp2(-np.arange(0, 4, 0.125))


@dataclass(frozen=True)
class Calibration:
    """How to quantise: on which photographs, None for the package's own; how many; which nodes stay float32.

    Raises ValueError where the folder has no photographs, their number is below 1, or `keep_fp32` is no regular
    expression.
    """

    folder: Path | None = None
    size: int = 32
    keep_fp32: str = ""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"--calib-size is at least 1; got {self.size}")
        if not self.photographs():
            raise ValueError(f"--calib-data {self.folder} holds no photographs ({', '.join(FORMATS)})")
        try:
            re.compile(self.keep_fp32)
        except re.error as error:
            raise ValueError(f"--keep-fp32 {self.keep_fp32!r} is no regular expression: {error}") from error

    def photographs(self) -> list[Path]:
        """Those to calibrate on, by name."""
        if self.folder is None:
            return examples()
        return list_images(self.folder)

    @property
    def images(self) -> int:
        """How many images it takes: none of a folder's twice."""
        return self.size if self.folder is None else min(self.size, len(self.photographs()))


@dataclass
class Magnitudes:
    """What a tensor's magnitudes were so far: the largest, and a histogram over `CENTRES`."""

    largest: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(CENTRES), np.int64))

    def add(self, values: NDArray[Any]) -> None:
        """Count the values; zeros have no error in any format and are left out."""
        magnitudes = np.abs(values[values != 0])
        if magnitudes.size:
            self.largest = max(self.largest, float(magnitudes.max()))
            bins = ((np.log2(magnitudes) + OCTAVES) * PER_OCTAVE).astype(np.int64)
            self.counts += np.bincount(bins.clip(0, len(CENTRES) - 1), minlength=len(CENTRES))

    def scale(self, number: Format) -> float:
        """The scale of least squared error over the histogram; 1 where nothing but zeros was seen."""
        if self.largest == 0:
            return 1.0
        scales = self.largest * CLIPPING / number.largest
        seen = self.counts > 0
        centres, counts = CENTRES[seen], self.counts[seen]
        held = [number.rounded(centres / scale).astype(np.float64) * scale for scale in scales]
        return float(scales[int(np.argmin([(counts * (values - centres) ** 2).sum() for values in held]))])


def activation_scales(
    model: "onnx.ModelProto", tensors: Sequence[str], feeds: Sequence[Feed], number: Format
) -> dict[str, float]:
    """Run the graph on every feed -> the scale of each of the named tensors."""
    seen = {name: Magnitudes() for name in tensors}
    for run in observed(model, tensors, feeds):
        for name, values in run.items():
            seen[name].add(values)
    return {name: magnitudes.scale(number) for name, magnitudes in seen.items()}


def calibration_images(calibration: Calibration, degradations: Sequence[str], size: tuple[int, int]) -> list[Tensor]:
    """Images [1, 3, H, W] float32 in [0, 1], of `size`, height and width.

    Those of a folder are taken as they are, in turn. The package's photographs come clean and with each of the model's
    degradations that can be made synthetically.
    """
    kinds = [None] if calibration.folder else [None, *(kind for kind in degradations if kind in DEGRADATIONS)]
    paths, rng = calibration.photographs(), np.random.default_rng(0)
    images: list[Tensor] = []
    for index in range(calibration.images):
        image, kind = photograph_at(paths[index % len(paths)], *size), kinds[index % len(kinds)]
        if kind is not None:
            image = torch.from_numpy(degrade(image.permute(1, 2, 0).numpy(), kind, rng)).permute(2, 0, 1)
        images.append(image[None].contiguous())
    return images
