"""Degrade image files, and draw a contact sheet."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lorair.degradations.fields import to_uint8
from lorair.degradations.kinds import DEGRADATIONS, degrade, severities
from lorair.images import Picture, read_image, write_image

DRAWS: Final = 4
SHEET_HEIGHT: Final = 160


def degrade_file(source: Path, target: Path, kind: str, seed: int, severity: Mapping[str, float]) -> None:
    """Degrade an image file; its name and the seed determine the random draws.

    Raises ImageError where the source cannot be read, ValueError where the target's suffix names no format.
    """
    rng = np.random.default_rng((seed, zlib.crc32(source.name.encode())))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_image(target, Picture(to_uint8(degrade(read_image(source).float_pixels(), kind, rng, **severity))))


def contact_sheet(source: Path, seed: int) -> NDArray[np.uint8]:
    """Every degradation of a photograph, a row each and `DRAWS` draws in it, after the photograph: uint8 [H, W, 3]."""
    photograph = read_image(source).float_pixels()
    width = round(SHEET_HEIGHT * photograph.shape[1] / photograph.shape[0])
    small = np.asarray(cv2.resize(photograph, (width, SHEET_HEIGHT), interpolation=cv2.INTER_AREA), np.float32)
    rows = [
        [small, *(degrade(small, kind, np.random.default_rng((seed, draw))) for draw in range(DRAWS))]
        for kind in DEGRADATIONS
    ]
    return to_uint8(np.concatenate([np.concatenate(row, axis=1) for row in rows]))


def severity_from(kind: str, texts: Sequence[str]) -> dict[str, float]:
    """`["sigma=25"]` -> `{"sigma": 25}`; ValueError where a text is not NAME=NUMBER or names an unknown parameter."""
    known = severities(kind)
    fixed: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"--severity must be NAME=NUMBER, such as {known[0]}=25; got {text!r}") from None
        if name not in known:
            raise ValueError(f"{kind} has no severity {name!r}; it has {', '.join(known)}")
        fixed[name] = int(value) if value.is_integer() else value
    return fixed
