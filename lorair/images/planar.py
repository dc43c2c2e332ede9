"""Planar TIFF files (PlanarConfiguration 2: each channel is stored separately), which Pillow and OpenCV misread unless
they are
8-bit RGB."""

import struct
from typing import Final

from PIL import TiffImagePlugin

from lorair.errors import ImageError
from lorair.images.tags import MIN_IS_BLACK, PLANAR, RGB, TIFF_TAG

_LONG: Final = 4
# What the file of one plane says as the whole one does: how its bytes are packed.
_PACKING: Final = tuple(
    TIFF_TAG[name]
    for name in (
        *("ImageWidth", "ImageLength", "Compression", "FillOrder", "RowsPerStrip", "Predictor"),
        *("TileWidth", "TileLength"),
    )
)


def bits_of(image: TiffImagePlugin.TiffImageFile) -> int:
    """The most bits of any channel."""
    return max(image.tag_v2.get(TIFF_TAG["BitsPerSample"], (1,)))


def is_planar(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether a gray or RGB file is of this kind."""
    planar = image.tag_v2.get(TIFF_TAG["PlanarConfiguration"]) == PLANAR
    return planar and image.tag_v2.get(TIFF_TAG["PhotometricInterpretation"]) in (MIN_IS_BLACK, RGB)


def planes_of(data: bytes, image: TiffImagePlugin.TiffImageFile) -> list[bytes]:
    """A gray TIFF file for each channel: the file with one more directory, which names that channel's strips only."""
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(f"{order}H", data, 2)[0] != 42:
        raise ImageError("planar BigTIFF files are not supported; save it as 16-bit RGB")
    tags, channels = image.tag_v2, image.tag_v2[TIFF_TAG["SamplesPerPixel"]]
    shared = {tag: (tags[tag],) for tag in _PACKING if tag in tags}
    shared |= {
        TIFF_TAG["BitsPerSample"]: (bits_of(image),),
        TIFF_TAG["PhotometricInterpretation"]: (MIN_IS_BLACK,),
        TIFF_TAG["SamplesPerPixel"]: (1,),
    }
    kind = "Tile" if TIFF_TAG["TileOffsets"] in tags else "Strip"
    offsets, lengths = tags[TIFF_TAG[f"{kind}Offsets"]], tags[TIFF_TAG[f"{kind}ByteCounts"]]
    parts = [slice(i * len(offsets) // channels, (i + 1) * len(offsets) // channels) for i in range(channels)]
    if max(offset + length for offset, length in zip(offsets, lengths, strict=True)) > len(data):
        raise ImageError("damaged: the file is truncated")
    files: list[bytes] = []
    for part in parts:
        own = {TIFF_TAG[f"{kind}Offsets"]: offsets[part], TIFF_TAG[f"{kind}ByteCounts"]: lengths[part]}
        header = data[:4] + struct.pack(f"{order}I", len(data))
        files.append(header + data[8:] + _directory(shared | own, order, len(data)))
    return files


def _directory(tags: dict[int, tuple[int, ...]], order: str, offset: int) -> bytes:
    """A TIFF directory (TIFF 6.0, section 2) of whole numbers, that is to stand at `offset`."""
    entries, long = b"", b""
    behind = offset + 2 + 12 * len(tags) + 4
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        value = packed if len(values) == 1 else struct.pack(f"{order}I", behind + len(long))
        long += b"" if len(values) == 1 else packed
        entries += struct.pack(f"{order}HHI", tag, _LONG, len(values)) + value
    return struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + long
