"""An image in memory: its samples and the metadata of its file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Uint8Image = NDArray[np.uint8]
Float32Image = NDArray[np.float32]
Samples = NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright image and the metadata of its file.

    Attributes:
        pixels: uint8 or uint16 RGB `[H, W, 3]`; the three channels are equal where `gray`.
        gray: whether the file has one colour channel; the restored file then has one too.
        alpha: `[H, W]` of the same dtype, straight (not premultiplied), or None.
        exif: the block from its prefix `Exif\\0\\0` on, orientation reset; empty where there is none.
        icc: the profile of the pixels; empty where there is none.
        format: PNG, JPEG, WEBP or TIFF, as its file; PNG where the file is BMP.
    """

    pixels: Samples
    gray: bool = False
    alpha: Samples | None = None
    exif: bytes = b""
    icc: bytes = b""
    format: str = "PNG"

    def uint8_pixels(self) -> Uint8Image:
        """The pixels as uint8 `[H, W, 3]`; those of 16 bits by their nearest levels."""
        return uint8_samples(self.pixels)

    def float_pixels(self) -> Float32Image:
        """The pixels as float32 `[H, W, 3]` in [0, 1]."""
        return self.pixels.astype(np.float32) / np.float32(np.iinfo(self.pixels.dtype).max)


def picture_from_samples(samples: NDArray[Any], exif: bytes = b"", icc: bytes = b"", format: str = "PNG") -> Picture:
    """A picture of uint8 or uint16 samples `[H, W]` or `[H, W, C]`: gray, gray and alpha, RGB or RGBA.

    Raises:
        ValueError: another dtype or shape.
    """
    if samples.dtype.name not in ("uint8", "uint16") or samples.ndim not in (2, 3) or 0 in samples.shape:
        got = f"{samples.dtype} {samples.shape}"
        raise ValueError(f"an image is uint8 or uint16 [H, W] or [H, W, C] and not empty; got {got}")
    if samples.ndim == 2:
        samples = samples[..., None]
    channels = samples.shape[2]
    if channels > 4:
        raise ValueError(f"an image has 1 to 4 channels, the last axis; got {samples.shape}")
    gray = channels < 3
    pixels = samples[..., [0, 0, 0]] if gray else samples[..., :3]
    return Picture(pixels, gray, None if channels in (1, 3) else samples[..., -1], exif, icc, format)


def samples_from_picture(picture: Picture) -> Samples:
    """The inverse of `picture_from_samples`: `[H, W, C]` with as few channels as the picture needs."""
    colour = picture.pixels[..., :1] if picture.gray else picture.pixels
    return colour if picture.alpha is None else np.concatenate([colour, picture.alpha[..., None]], axis=2)


def uint8_samples(samples: Samples) -> Uint8Image:
    """Samples of any shape as uint8: 65535 becomes 255, and what lies between its nearest level."""
    if samples.dtype == np.uint8:
        return samples.view(np.uint8)
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
