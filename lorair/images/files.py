"""Image files <-> arrays, turned upright; bit depth, alpha, gray, EXIF and ICC profile survive."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from lorair.errors import ImageError
from lorair.images.listing import format_of
from lorair.images.sixteen_bit import EXIF_PREFIX, bit_depth, decode_16bit, encode_png, encode_tiff
from lorair.system import write_bytes

FORMATS_16BIT = frozenset({"PNG", "TIFF"})

# Lossy WebP halves the colour resolution whatever its quality, so WebP is written without loss. With Pillow's
# own efforts PNG takes twice and WebP five times as long for files 1 % smaller.
_SAVE_OPTIONS = {
    "PNG": {"compress_level": 4},
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True, "exact": True, "method": 1, "quality": 25},
}

_BASE = ExifTags.Base
# What EXIF's first directory says of the photograph; its other tags say how the old file stored the pixels.
_DESCRIPTIVE_TAGS = frozenset(
    {
        *(_BASE.ImageDescription, _BASE.Make, _BASE.Model, _BASE.Software, _BASE.HostComputer),
        *(_BASE.DateTime, _BASE.Artist, _BASE.Copyright, _BASE.ExifOffset, _BASE.GPSInfo),
        *(_BASE.Orientation, _BASE.XResolution, _BASE.YResolution, _BASE.ResolutionUnit),
    }
)


@dataclass(frozen=True, eq=False)
class Picture:
    """An upright image and what its file said of it.

    Attributes:
        pixels: uint8 or uint16 RGB ``[H, W, 3]``; the three channels are equal where ``gray``.
        gray: whether the file has one colour channel, and shall have one again.
        alpha: ``[H, W]`` of the same dtype, straight (not premultiplied), or None.
        exif: the block from its prefix ``Exif\\0\\0`` on, orientation reset; empty where there is none.
        icc: the profile of the pixels; empty where there is none.
        format: PNG, JPEG, WEBP or TIFF, as its file; PNG where the file is BMP.
    """

    pixels: np.ndarray
    gray: bool = False
    alpha: np.ndarray | None = None
    exif: bytes = b""
    icc: bytes = b""
    format: str = "PNG"


def picture_from_samples(samples: np.ndarray, exif: bytes = b"", icc: bytes = b"", format: str = "PNG") -> Picture:
    """A picture of uint8 or uint16 samples [H, W] or [H, W, C]: gray, gray and alpha, RGB or RGBA.

    Raises:
        ValueError: another dtype or shape.
    """
    if samples.dtype not in (np.uint8, np.uint16) or samples.ndim not in (2, 3) or 0 in samples.shape:
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


def samples_from_picture(picture: Picture) -> np.ndarray:
    """The inverse of ``picture_from_samples``: [H, W, C] with as few channels as the picture needs."""
    colour = picture.pixels[..., :1] if picture.gray else picture.pixels
    return colour if picture.alpha is None else np.concatenate([colour, picture.alpha[..., None]], axis=2)


def read_image(path: str | Path) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF or BMP file.

    Raises:
        ImageError: the file is empty, truncated, foreign, too large or of an unsupported kind; it says which.
        OSError: the file cannot be opened.
    """
    try:
        return decode_image(Path(path).read_bytes())
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def write_image(path: str | Path, picture: Picture) -> None:
    """Write a picture in the format of the path's suffix; the file appears whole or not at all.

    Only PNG and TIFF hold 16 bits; the others get the nearest 8-bit levels.

    Raises:
        ValueError: the suffix is unknown.
        ImageError: the format cannot hold the picture.
    """
    path = Path(path)
    try:
        data = encode_image(picture, format_of(path))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    write_bytes(path, data)


def decode_image(data: bytes, max_pixels: int | None = None) -> Picture:
    """As ``read_image``, from a file's bytes; CMYK and Lab are converted to sRGB by their profile.

    More than ``max_pixels`` are an ImageError before memory is taken for them.
    """
    if not data:
        raise ImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "TIFF", "BMP")) as image:
            if max_pixels is not None and image.width * image.height > max_pixels:
                raise ImageError(f"{image.width} x {image.height} pixels are more than the {max_pixels} allowed")
            return _picture_from_pillow(data, image)
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise ImageError("not a readable PNG, JPEG, WebP, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"too many pixels: {error}") from error
    # Pillow's decoders raise nearly any exception on a damaged file.
    except Exception as error:
        raise ImageError(f"damaged: {error}") from error


def encode_image(picture: Picture, format: str) -> bytes:
    """The bytes of a file; see ``write_image``."""
    if format == "JPEG" and picture.alpha is not None:
        raise ImageError("JPEG cannot hold the image's transparency; write PNG, WebP or TIFF instead")
    samples = samples_from_picture(picture)
    if format == "TIFF":
        return encode_tiff(samples, picture.exif, picture.icc)
    if samples.dtype == np.uint16 and format in FORMATS_16BIT:
        return encode_png(samples, picture.exif, picture.icc)
    samples = _eight_bit(samples)
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    file = io.BytesIO()
    try:
        image.save(file, format, exif=picture.exif, icc_profile=picture.icc, **_SAVE_OPTIONS[format])
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be written as {format}: {error}") from error
    return file.getvalue()


def _picture_from_pillow(data: bytes, image: Image.Image) -> Picture:
    # The further frames of a phone's JPEG (MPO) are previews and depth maps of the first.
    format = {"MPO": "JPEG", "BMP": "PNG"}.get(str(image.format), str(image.format))
    if format != "JPEG" and getattr(image, "n_frames", 1) > 1:
        raise ImageError(f"holds {getattr(image, 'n_frames', 1)} frames; split it into single images first")
    bits = bit_depth(data, image)
    image.load()
    if bits == 16:
        samples, icc = decode_16bit(data, image), image.info.get("icc_profile") or b""
    else:
        converted, icc = _to_gray_or_rgb(ImageOps.exif_transpose(image))
        samples = np.asarray(converted)
    return picture_from_samples(samples, _reset_exif(image), icc, format)


def _to_gray_or_rgb(image: Image.Image) -> tuple[Image.Image, bytes]:
    """The image in mode L, LA, RGB or RGBA, and the profile it is in then."""
    icc = image.info.get("icc_profile") or b""
    if image.mode == "LAB" or (image.mode == "CMYK" and icc):
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc) if icc else ImageCms.createProfile("LAB"))
        converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
        assert converted is not None
        return converted, srgb.tobytes()
    if image.mode in {"1", "L", "LA", "La"}:
        return image.convert("LA" if image.has_transparency_data else "L"), icc
    if image.mode in {"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "CMYK"}:
        return image.convert("RGBA" if image.has_transparency_data else "RGB"), icc
    raise ImageError(f"pixels of kind {image.mode} are not supported; save it with 8 or 16 bits per channel")


def _reset_exif(image: Image.Image) -> bytes:
    """The EXIF block with orientation 1: byte for byte the file's where that is already so."""
    exif = image.getexif()
    block = image.info.get("exif")
    if block and exif.get(_BASE.Orientation, 1) == 1:
        return EXIF_PREFIX + block.removeprefix(EXIF_PREFIX)
    for tag in set(exif) - _DESCRIPTIVE_TAGS:
        del exif[tag]
    if _BASE.Orientation in exif:
        exif[_BASE.Orientation] = 1
    return exif.tobytes() if len(exif) else b""


def _eight_bit(samples: np.ndarray) -> np.ndarray:
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
