"""Image files as people have them: bytes, and the upright RGB that they were made of."""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import tifffile
from PIL import Image, ImageCms

HEIGHT, WIDTH = 48, 40


@dataclass(frozen=True)
class OddFile:
    """A file; what it shows, uint8 [H, W, 3]; and how far off its own coding may leave a level of it."""

    suffix: str
    data: bytes
    shows: np.ndarray
    levels: int = 0


def noise(channels: int, dtype=np.uint8) -> np.ndarray:
    generator = np.random.default_rng(channels)
    return generator.integers(0, np.iinfo(dtype).max, (HEIGHT, WIDTH, channels), dtype, endpoint=True)


def smooth() -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([2 * x + 40, 3 * y + 30, x + y + 60], axis=2).astype(np.uint8)


def rgb(samples: np.ndarray) -> np.ndarray:
    """8- or 16-bit samples [H, W, C], gray or colour with or without alpha, as the nearest uint8 RGB."""
    colour = samples[..., [0, 0, 0]] if samples.shape[2] < 3 else samples[..., :3]
    return colour if colour.dtype == np.uint8 else np.rint(colour / 257).astype(np.uint8)


def pillow(image: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, format, **options)
    return file.getvalue()


def tiff(samples: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


def png(colour_type: int, bits: int, width: int, rows: list[bytes], *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG by the book, filter "none"; `extra` chunks stand before the pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", pixels), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def png16(colour_type: int, samples: np.ndarray, *extra: tuple[bytes, bytes]) -> bytes:
    return png(colour_type, 16, samples.shape[1], [row.astype(">u2").tobytes() for row in samples], *extra)


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = value
    return exif


def oriented(samples: np.ndarray, value: int) -> np.ndarray:
    """Tag 274 says which side of the scene row 0 and column 0 are."""
    turned: Mapping[int, Callable[[np.ndarray], np.ndarray]] = {
        1: np.asarray,
        2: np.fliplr,
        3: partial(np.rot90, k=2),
        4: np.flipud,
        5: partial(np.swapaxes, axis1=0, axis2=1),
        6: partial(np.rot90, k=-1),
        7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
        8: np.rot90,
    }
    return turned[value](samples)


def odd_files() -> dict[str, OddFile]:
    gray16, alpha16, rgb16, rgba16 = (noise(channels, np.uint16) for channels in (1, 2, 3, 4))
    gray, gray_alpha, colour, rgba = (noise(channels) for channels in (1, 2, 3, 4))
    soft, one_bit = smooth(), gray[..., 0] > 127
    ink = Image.fromarray(soft).convert("CMYK")
    hidden = (b"tRNS", gray16[4, 5].astype(">u2").tobytes())
    by_channel = {"photometric": "rgb", "planarconfig": "separate"}
    files = {
        "gray16_png": OddFile("png", png16(0, gray16), rgb(gray16)),
        "gray16_trns_png": OddFile("png", png16(0, gray16, hidden), rgb(gray16)),
        "gray_alpha16_png": OddFile("png", png16(4, alpha16), rgb(alpha16)),
        "rgb16_png": OddFile("png", png16(2, rgb16), rgb(rgb16)),
        "rgba16_png": OddFile("png", png16(6, rgba16), rgb(rgba16)),
        "gray16_tiff": OddFile("tif", tiff(gray16[..., 0]), rgb(gray16)),
        "gray16_big_endian_tiff": OddFile("tif", tiff(gray16[..., 0], byteorder=">"), rgb(gray16)),
        "rgb16_tiff": OddFile("tif", tiff(rgb16, photometric="rgb"), rgb(rgb16)),
        "rgba16_tiff": OddFile("tif", tiff(rgba16, photometric="rgb", extrasamples=["unassalpha"]), rgb(rgba16)),
        "planar_rgb16_tiff": OddFile("tiff", tiff(planar(rgb16), **by_channel), rgb(rgb16)),
        "planar_big_endian_tiff": OddFile("tiff", tiff(planar(rgb16), byteorder=">", **by_channel), rgb(rgb16)),
        "planar_tiles_tiff": OddFile("tiff", tiff(planar(rgb16), tile=(16, 32), **by_channel), rgb(rgb16)),
        "planar_rgb_tiff": OddFile("tiff", tiff(planar(colour), **by_channel), colour),
        "planar_gray_alpha_tiff": OddFile("tiff", planar_gray_alpha(gray_alpha), rgb(gray_alpha)),
        "lzw_tiff": OddFile("tif", pillow(colour, "TIFF", compression="tiff_lzw"), colour),
        "preview_tiff": OddFile("tif", tiff_with_preview(colour), colour),
        "gray_alpha_png": OddFile("png", pillow(gray_alpha, "PNG"), rgb(gray_alpha)),
        "rgba_png": OddFile("png", pillow(rgba, "PNG"), rgb(rgba)),
        "one_bit_png": OddFile("png", pillow(one_bit, "PNG"), rgb(np.uint8(255) * one_bit[..., None])),
        "one_bit_tiff": OddFile("tif", pillow(one_bit, "TIFF"), rgb(np.uint8(255) * one_bit[..., None])),
        "gray4_trns_png": gray_of_four_bits(gray),
        "bmp": OddFile("bmp", pillow(colour, "BMP"), colour),
        "gray_bmp": OddFile("BMP", pillow(gray[..., 0], "BMP"), rgb(gray)),
        "webp": OddFile("webp", pillow(rgba, "WEBP", lossless=True, exact=True), rgb(rgba)),
        "lossy_webp": OddFile("webp", pillow(soft, "WEBP", quality=95), soft, 8),
        "progressive_jpeg": OddFile("jpeg", pillow(soft, "JPEG", progressive=True, quality=98), soft, 6),
        "gray_jpeg": OddFile("jpg", pillow(soft[..., 0], "JPEG", quality=98), rgb(soft[..., :1]), 4),
        "cmyk_jpeg": OddFile("jpg", pillow(ink, "JPEG", quality=98), soft, 8),
        "cmyk_jpeg_rgb_profile": OddFile("jpg", pillow(ink, "JPEG", quality=98, icc_profile=SRGB), soft, 8),
        "icc_jpeg": OddFile("jpg", pillow(soft, "JPEG", quality=98, icc_profile=SRGB), soft, 6),
        "misnamed": OddFile("jpg", pillow(colour, "PNG"), colour),
        **palettes(colour),
    }
    for value in range(1, 9):
        shown = oriented(colour, value)
        files[f"orientation{value}_png"] = OddFile("png", pillow(colour, "PNG", exif=orientation(value)), shown)
        jpeg = pillow(soft, "JPEG", quality=98, exif=orientation(value))
        files[f"orientation{value}_jpeg"] = OddFile("jpg", jpeg, oriented(soft, value), 6)
    tag = (274, "H", 1, 6, True)
    files["orientation6_tiff16"] = OddFile(
        "tif", tiff(rgb16, photometric="rgb", extratags=[tag]), oriented(rgb(rgb16), 6)
    )
    files["orientation6_tiff"] = OddFile("tif", tiff(colour, photometric="rgb", extratags=[tag]), oriented(colour, 6))
    files["orientation8_planar_tiff16"] = OddFile(
        "tif",
        tiff(planar(rgb16), photometric="rgb", planarconfig="separate", extratags=[(274, "H", 1, 8, True)]),
        oriented(rgb(rgb16), 8),
    )
    late = pillow(colour, "PNG")
    exif = orientation(5).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    files["orientation5_after_pixels_png"] = OddFile("png", late[:-12] + chunk + late[-12:], oriented(colour, 5))
    return files


def unsupported_files() -> dict[str, OddFile]:
    """Files that no reader may guess at."""
    shown, floats = np.zeros((HEIGHT, WIDTH, 3), np.uint8), noise(3) / np.float32(255)
    two = [Image.fromarray(noise(3)), Image.fromarray(255 - noise(3))]
    frames = {"save_all": True, "append_images": two[1:]}
    return {
        "float_gray_tiff": OddFile("tif", tiff(floats[..., 0]), shown),
        "float_rgb_tiff": OddFile("tif", tiff(floats, photometric="rgb"), shown),
        "signed_tiff": OddFile("tif", tiff(noise(1)[..., 0].astype(np.int8)), shown),
        "gray32_tiff": OddFile("tif", tiff(noise(1)[..., 0].astype(np.uint32)), shown),
        "two_pages_tiff": OddFile("tif", pillow(two[0], "TIFF", **frames), shown),
        "animated_png": OddFile("png", pillow(two[0], "PNG", **frames), shown),
        "cut_short_tiff": OddFile(
            "tif", tiff(planar(noise(3, np.uint16)), planarconfig="separate", photometric="rgb")[:-2000], shown
        ),
        "cut_short_png": OddFile("png", pillow(two[0], "PNG")[:-2000], shown),
        "text": OddFile("png", b"no image at all", shown),
    }


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def planar(samples: np.ndarray) -> np.ndarray:
    return np.moveaxis(samples, 2, 0)


def planar_gray_alpha(samples: np.ndarray) -> bytes:
    return tiff(planar(samples), photometric="minisblack", planarconfig="separate", extrasamples=["unassalpha"])


def tiff_with_preview(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(samples, photometric="rgb")
        writer.write(np.ascontiguousarray(samples[::2, ::2]), photometric="rgb", subfiletype=1)
    return file.getvalue()


def gray_of_four_bits(gray: np.ndarray) -> OddFile:
    levels = gray[..., 0] // 16
    rows = [(row[::2] << 4 | row[1::2]).astype(np.uint8).tobytes() for row in levels]
    return OddFile("png", png(0, 4, WIDTH, rows, (b"tRNS", b"\0\x05")), rgb(17 * levels[..., None]))


def palettes(colour: np.ndarray) -> dict[str, OddFile]:
    image = Image.fromarray(colour).quantize(16)
    shown = np.asarray(image.getpalette(), np.uint8).reshape(-1, 3)[np.asarray(image)]
    return {
        "palette_png": OddFile("png", pillow(image, "PNG"), shown),
        "palette_transparent_png": OddFile("png", pillow(image, "PNG", transparency=3), shown),
        "palette_tiff": OddFile("tif", pillow(image, "TIFF"), shown),
        "palette_bmp": OddFile("bmp", pillow(image, "BMP"), shown),
    }
