"""The rules of EXIF: the orientation of an image, and its EXIF block once it has been turned upright."""

import struct
from typing import IO, Final

from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin

EXIF_PREFIX: Final = b"Exif\0\0"
TURNED_SIDES: Final = (5, 6, 7, 8)

_BASE = ExifTags.Base
# Tags of EXIF's first directory that describe the photograph; the others describe how the old file stored the pixels.
_DESCRIPTIVE_TAGS: Final = frozenset(
    {
        *(_BASE.ImageDescription, _BASE.Make, _BASE.Model, _BASE.Software, _BASE.HostComputer),
        *(_BASE.DateTime, _BASE.Artist, _BASE.Copyright, _BASE.ExifOffset, _BASE.GPSInfo),
        *(_BASE.Orientation, _BASE.XResolution, _BASE.YResolution, _BASE.ResolutionUnit),
    }
)
_SIDES: Final = (
    (_BASE.ImageWidth, _BASE.ImageLength),
    (_BASE.XResolution, _BASE.YResolution),
    (_BASE.ExifImageWidth, _BASE.ExifImageHeight),
)


def orientation_of(image: Image.Image, file: IO[bytes]) -> int:
    """The orientation, 1 to 8, of an opened image; decodes the pixels only if the tag follows them.      Call this
    before decoding: Pillow then turns a TIFF upright and drops the tag.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.tag_v2.get(_BASE.Orientation, 1)
    if isinstance(image, PngImagePlugin.PngImageFile) and _ends_with_pixels(file):
        return Image.Image.getexif(image).get(_BASE.Orientation, 1)
    return image.getexif().get(_BASE.Orientation, 1)


def upright_exif(image: Image.Image) -> bytes:
    """The EXIF block of an image once it is turned upright; empty where there is none.

    It equals the file's block except for the orientation, and for width and height where turning exchanges them. For a
    TIFF file, whose directory also describes the pixels, a new block is written.
    """
    exif = image.getexif()
    block = image.info.get("exif")
    if block:
        return EXIF_PREFIX + _turned(block.removeprefix(EXIF_PREFIX))
    for tag in set(exif) - _DESCRIPTIVE_TAGS:
        del exif[tag]
    if _BASE.Orientation in exif:
        exif[_BASE.Orientation] = 1
    return exif.tobytes() if len(exif) else b""


def _turned(block: bytes) -> bytes:
    """A TIFF structure with orientation 1, width and height exchanged where that turns them."""
    turned = bytearray(block)
    order = "<" if block[:2] == b"II" else ">"
    try:
        first = _entries(turned, order, struct.unpack_from(f"{order}I", turned, 4)[0])
        if _BASE.Orientation not in first:
            return block
        place = first[_BASE.Orientation] + 8
        (orientation,) = struct.unpack_from(f"{order}H", turned, place)
        struct.pack_into(f"{order}H", turned, place, 1)
        if orientation in TURNED_SIDES:
            if _BASE.ExifOffset in first:
                (camera,) = struct.unpack_from(f"{order}I", turned, first[_BASE.ExifOffset] + 8)
                first |= _entries(turned, order, camera)
            for width, height in _SIDES:
                if width in first and height in first:
                    one, other = (slice(first[tag] + 2, first[tag] + 12) for tag in (width, height))
                    turned[one], turned[other] = turned[other], turned[one]
    except struct.error:  # cut short: what can be read of it is right by now
        pass
    return bytes(turned)


def _entries(block: bytearray, order: str, offset: int) -> dict[int, int]:
    """Where the 12 bytes of each tag of a directory begin: tag, type, count, value."""
    (count,) = struct.unpack_from(f"{order}H", block, offset)
    places = range(offset + 2, offset + 2 + 12 * count, 12)
    return {struct.unpack_from(f"{order}H", block, place)[0]: place for place in places}


def _ends_with_pixels(file: IO[bytes]) -> bool:
    """Whether a PNG file has no chunk between its pixels and its end; the file stays where it is."""
    kept = file.tell()
    try:
        place, seen = 8, False
        while True:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"IEND":
                return True
            if seen and kind != b"IDAT":
                return False
            seen |= kind == b"IDAT"
            place += 12 + length
    except struct.error:  # cut short
        return True
    finally:
        file.seek(kept)
