"""The one image writer: a picture -> a file that appears whole or not at all, or its bytes."""

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from lorair.errors import ImageError
from lorair.images.encoders import encode_png, encode_tiff
from lorair.images.listing import format_of
from lorair.images.picture import Picture, samples_from_picture, uint8_samples
from lorair.system import write_bytes

FORMATS_16BIT: Final = frozenset({"PNG", "TIFF"})
# Lossy WebP halves the colour resolution whatever its quality, so WebP is written without loss. With Pillow's
# own efforts PNG takes twice and WebP five times as long for files 1 % smaller.
_SAVE_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "PNG": {"compress_level": 4},
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True, "exact": True, "method": 1, "quality": 25},
}


def write_image(path: str | Path, picture: Picture) -> None:
    """Write a picture in the format of the path's suffix; the file appears whole or not at all.

    Only PNG and TIFF hold 16 bits; the others get the nearest 8-bit levels.

    Raises:
        ValueError: the suffix is unknown.
        ImageError: the format cannot hold the picture.
        OSError: the file cannot be written.
    """
    path = Path(path)
    try:
        data = encode_image(picture, format_of(path))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    write_bytes(path, data)


def encode_image(picture: Picture, format: str) -> bytes:
    """The bytes of a file in a format, PNG, JPEG, WEBP or TIFF; see `write_image`.

    Raises:
        ImageError: the format cannot hold the picture.
    """
    if format == "JPEG" and picture.alpha is not None:
        raise ImageError("JPEG cannot hold the image's transparency; write PNG, WebP or TIFF instead")
    samples = samples_from_picture(picture)
    if format == "TIFF":
        return encode_tiff(samples, picture.exif, picture.icc)
    if samples.dtype == np.uint16 and format in FORMATS_16BIT:
        return encode_png(samples, picture.exif, picture.icc)
    samples = uint8_samples(samples)
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    file = io.BytesIO()
    try:
        image.save(file, format, exif=picture.exif, icc_profile=picture.icc, **_SAVE_OPTIONS[format])
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be written as {format}: {error}") from error
    return file.getvalue()
