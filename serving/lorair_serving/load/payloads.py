"""The images that a load sends."""

import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lorair.degradations import degrade, to_uint8
from lorair.images import read_image


def payloads(
    photographs: Sequence[Path], sizes: Sequence[tuple[int, int]], kinds: Sequence[str], seed: int = 0
) -> list[bytes]:
    """PNG files of every photograph, size (height, width) and degradation, in random order."""
    made: list[bytes] = []
    for index, path in enumerate(photographs):
        photograph = Image.fromarray(read_image(path).uint8_pixels())
        for height, width in sizes:
            clean = np.asarray(photograph.resize((width, height), Image.Resampling.LANCZOS), np.float32) / np.float32(
                255
            )
            for kind in kinds:
                pixels = to_uint8(degrade(clean, kind, np.random.default_rng((seed, index))))
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
                made.append(buffer.getvalue())
    random.Random(seed).shuffle(made)
    return made
