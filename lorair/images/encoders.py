"""What Pillow cannot write: 16 bits in PNG and TIFF, with EXIF and ICC profile."""

import struct
import zlib
from typing import Final

import numpy as np
from PIL import Image

from lorair.images.exif import EXIF_PREFIX
from lorair.images.picture import Samples
from lorair.images.tags import MIN_IS_BLACK, RGB, STRAIGHT_ALPHA, TIFF_TAG

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR_TYPE: Final = {1: 0, 2: 4, 3: 2, 4: 6}
_TIFF_ROWS: Final = 64
_ZLIB_LEVEL: Final = 4


def encode_png(samples: Samples, exif: bytes, icc: bytes) -> bytes:
    """A PNG file of uint16 samples [H, W, C], C from 1 to 4; all rows use the filter "up" (PNG, 9.2)."""
    height, width, channels = samples.shape
    rows = np.ascontiguousarray(samples, ">u2").view(np.uint8).reshape(height, -1)
    filtered = np.full((height, 1 + rows.shape[1]), 2, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    colour = _PNG_COLOUR_TYPE[channels]
    chunks = [_png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))]
    if icc:
        chunks.append(_png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if exif:
        chunks.append(_png_chunk(b"eXIf", exif.removeprefix(EXIF_PREFIX)))
    chunks += [_png_chunk(b"IDAT", zlib.compress(filtered.data, _ZLIB_LEVEL)), _png_chunk(b"IEND", b"")]
    return _PNG_SIGNATURE + b"".join(chunks)


def encode_tiff(samples: Samples, exif: bytes, icc: bytes) -> bytes:
    """A deflated TIFF file of uint8 or uint16 samples [H, W, C], C from 1 to 4.

    An EXIF block is a TIFF file without pixels (Exif 2.32, 4.5.2), so the pixels are added to it. The strips'
    offsets are relative: Pillow adds the length of the directory that it writes before them.
    """
    height, width, channels = samples.shape
    directory = Image.Exif()
    directory.load(exif)
    samples = samples.astype(samples.dtype.newbyteorder("<" if directory.endian == "<" else ">"))
    bands = [samples[top : top + _TIFF_ROWS] for top in range(0, height, _TIFF_ROWS)]
    strips = [zlib.compress(band.tobytes(), _ZLIB_LEVEL) for band in bands]
    lengths = [len(strip) for strip in strips]
    tags: dict[str, object] = {
        "ImageWidth": width,
        "ImageLength": height,
        "BitsPerSample": (8 * samples.itemsize,) * channels,
        "Compression": 8,
        "PhotometricInterpretation": RGB if channels > 2 else MIN_IS_BLACK,
        "StripOffsets": tuple(sum(lengths[:index]) for index in range(len(lengths))),
        "SamplesPerPixel": channels,
        "RowsPerStrip": _TIFF_ROWS,
        "StripByteCounts": tuple(lengths),
        "PlanarConfiguration": 1,
    }
    if channels in (2, 4):
        tags["ExtraSamples"] = STRAIGHT_ALPHA
    if icc:
        tags["ICCProfile"] = icc
    for name, value in tags.items():
        directory[TIFF_TAG[name]] = value
    return directory.tobytes().removeprefix(EXIF_PREFIX) + b"".join(strips)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
