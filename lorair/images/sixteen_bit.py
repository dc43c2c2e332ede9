"""What Pillow cannot do: decode 16-bit colour, and write it to PNG and TIFF with EXIF and ICC profile."""

import struct
import zlib

import cv2
import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin
from PIL.TiffTags import TAGS_V2

from lorair.errors import ImageError

EXIF_PREFIX = b"Exif\0\0"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
_TIFF_TAG = {entry.name: tag for tag, entry in TAGS_V2.items()}
_TIFF_MIN_IS_BLACK, _TIFF_RGB = 1, 2
_TIFF_STRAIGHT_ALPHA = 2
_TIFF_ROWS = 64
_ZLIB_LEVEL = 4


def bit_depth(data: bytes, image: Image.Image) -> int:
    """Bits per sample of a file whose bytes are ``data``; ``image`` is Pillow's view of the same file."""
    if image.format == "PNG":
        return data[24]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(_TIFF_TAG["BitsPerSample"], (1,)))
    return 8


def decode_16bit(data: bytes, image: Image.Image) -> np.ndarray:
    """Upright uint16 samples [H, W, C], C being gray, gray and alpha, RGB or RGBA.

    Pillow has loaded ``image`` from the same ``data``, so the file is whole; OpenCV reads the pixels again.
    """
    tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    if tiff:
        _check_tiff_layout(image)
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise ImageError("its 16-bit layout is not supported; save it as 16-bit RGB")
    if samples.ndim == 2:
        samples = _with_transparent_level(samples[..., None], image.info.get("transparency"))
    elif image.format == "PNG" and data[25] == _PNG_COLOUR_TYPE[2]:
        samples = samples[..., [0, 3]]
    else:
        samples = samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    # OpenCV turns a TIFF upright by itself, a PNG not.
    return samples if tiff else upright(samples, image.getexif().get(ExifTags.Base.Orientation, 1))


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Samples [H, W, C] turned as the EXIF orientation 1..8 asks (Exif 2.32, tag 274)."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def encode_png(samples: np.ndarray, exif: bytes, icc: bytes) -> bytes:
    """A PNG file of uint16 samples [H, W, C], C from 1 to 4; all rows use the filter "up" (PNG, 9.2)."""
    height, width, channels = samples.shape
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
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


def encode_tiff(samples: np.ndarray, exif: bytes, icc: bytes) -> bytes:
    """A deflated TIFF file of uint8 or uint16 samples [H, W, C], C from 1 to 4.

    An EXIF block is a TIFF file without pixels (Exif 2.32, 4.5.2), so the pixels are added to it. The strips'
    offsets are relative: Pillow adds the length of the directory that it writes before them.
    """
    height, width, channels = samples.shape
    directory = Image.Exif()
    directory.load(exif)
    samples = samples.astype(samples.dtype.newbyteorder("<" if directory.endian == "<" else ">"))
    bands = np.split(samples, range(_TIFF_ROWS, height, _TIFF_ROWS))
    strips = [zlib.compress(band.tobytes(), _ZLIB_LEVEL) for band in bands]
    lengths = [len(strip) for strip in strips]
    tags = {
        "ImageWidth": width,
        "ImageLength": height,
        "BitsPerSample": (8 * samples.itemsize,) * channels,
        "Compression": 8,
        "PhotometricInterpretation": _TIFF_RGB if channels > 2 else _TIFF_MIN_IS_BLACK,
        "StripOffsets": tuple(sum(lengths[:index]) for index in range(len(lengths))),
        "SamplesPerPixel": channels,
        "RowsPerStrip": _TIFF_ROWS,
        "StripByteCounts": tuple(lengths),
        "PlanarConfiguration": 1,
    }
    if channels in (2, 4):
        tags["ExtraSamples"] = _TIFF_STRAIGHT_ALPHA
    if icc:
        tags["ICCProfile"] = icc
    for name, value in tags.items():
        directory[_TIFF_TAG[name]] = value
    return directory.tobytes().removeprefix(EXIF_PREFIX) + b"".join(strips)


def _check_tiff_layout(image: TiffImagePlugin.TiffImageFile) -> None:
    tags = image.tag_v2
    photometric = tags.get(_TIFF_TAG["PhotometricInterpretation"])
    extra = tags.get(_TIFF_TAG["ExtraSamples"], ())
    if photometric not in (_TIFF_MIN_IS_BLACK, _TIFF_RGB) or extra not in ((), (_TIFF_STRAIGHT_ALPHA,)):
        raise ImageError(
            f"16-bit TIFF with photometric interpretation {photometric} and extra samples {extra} "
            "is not supported; save it as 16-bit RGB with straight alpha or none"
        )


def _with_transparent_level(gray: np.ndarray, level: int | None) -> np.ndarray:
    """PNG may name one gray level as transparent (tRNS), which OpenCV leaves out: [H, W, 1] -> [H, W, 2]."""
    if level is None:
        return gray
    alpha = np.where(gray == level, 0, 65535).astype(np.uint16)
    return np.concatenate([gray, alpha], axis=2)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
