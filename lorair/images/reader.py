"""The one image reader: a file, or its bytes -> an upright picture, or its size."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from lorair.errors import ImageError
from lorair.images.decoders import check_tiff, decode_by_opencv, needs_opencv, upright
from lorair.images.exif import TURNED_SIDES, orientation_of, upright_exif
from lorair.images.picture import Picture, Uint8Image, picture_from_samples

_READ: Final = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
# A phone's MPO is a JPEG whose further frames are previews and depth maps. BMP is not written.
_WRITTEN_AS: Final = {"MPO": "JPEG", "BMP": "PNG"}
_GRAY: Final = frozenset({"1", "L", "LA", "La"})
_COLOUR: Final = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "CMYK", "LAB"})


def read_image(path: str | Path) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF or BMP file.

    Raises:
        ImageError: the file is empty, truncated, no image, too large or of an unsupported kind; the message says which.
        OSError: the file cannot be opened.
    """
    try:
        return decode_image(Path(path).read_bytes())
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def size_of(path: str | Path) -> tuple[int, int]:
    """Height and width of an image file's upright picture, from its header.

    Raises:
        ImageError: the header is not that of an image which `read_image` takes.
        OSError: the file cannot be opened.
    """
    try:
        with Path(path).open("rb") as file, _opened(file) as image:
            # Pillow gives the size of a TIFF as it is after turning, others as it is in the file.
            turned = image.format != "TIFF" and orientation_of(image, file) in TURNED_SIDES
            return (image.width, image.height) if turned else (image.height, image.width)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def decode_image(data: bytes, max_pixels: int | None = None) -> Picture:
    """As `read_image`, from a file's bytes; CMYK and Lab are converted to sRGB by their profile.

    More than `max_pixels` raise an ImageError before their memory is allocated.
    """
    if not data:
        raise ImageError("the file is empty")
    file = io.BytesIO(data)
    with _opened(file) as image:
        if max_pixels is not None and image.width * image.height > max_pixels:
            raise ImageError(f"{image.width} x {image.height} pixels are more than the {max_pixels} allowed")
        return _decoded(data, image, orientation_of(image, file))


@contextmanager
def _opened(file: IO[bytes]) -> Generator[Image.Image]:
    try:
        with Image.open(file, formats=_READ) as image:
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                check_tiff(image)
            elif image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise ImageError(f"holds {getattr(image, 'n_frames', 1)} frames; split it into single images first")
            yield image
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        file.seek(0)
        if file.read(2) in (b"II", b"MM"):
            raise ImageError(
                "this kind of TIFF is not supported; save it as RGB with 8 or 16 bits per channel"
            ) from error
        raise ImageError("not a readable PNG, JPEG, WebP, TIFF or BMP image") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"too many pixels: {error}") from error
    # Pillow's decoders raise nearly any exception on a damaged file.
    except Exception as error:
        raise ImageError(f"damaged: {error}") from error


def _decoded(data: bytes, image: Image.Image, orientation: int) -> Picture:
    format = str(image.format)
    if needs_opencv(data, image):
        samples, icc = decode_by_opencv(data, image, orientation), image.info.get("icc_profile") or b""
    else:
        image.load()
        converted, icc = _gray_or_rgb(image, data)
        # Pillow has turned a TIFF by now.
        samples = upright(cast("Uint8Image", np.asarray(converted)), 1 if format == "TIFF" else orientation)
    return picture_from_samples(samples, upright_exif(image), icc, _WRITTEN_AS.get(format, format))


def _gray_or_rgb(image: Image.Image, data: bytes) -> tuple[Image.Image, bytes]:
    """The image in mode L, LA, RGB or RGBA, and the profile it is in then."""
    icc = image.info.get("icc_profile") or b""
    if image.mode == "CMYK" and icc[16:20] != b"CMYK":
        icc = b""  # the profile of another colour space does not apply
    if image.mode == "LAB" or (image.mode == "CMYK" and icc):
        return _srgb(image, icc)
    if image.mode in _GRAY:
        _scale_transparent_level(image, data)
        return image.convert("LA" if image.has_transparency_data else "L"), icc
    if image.mode in _COLOUR:
        return image.convert("RGBA" if image.has_transparency_data else "RGB"), icc
    raise ImageError(f"pixels of kind {image.mode} are not supported; save it with 8 or 16 bits per channel")


def _srgb(image: Image.Image, icc: bytes) -> tuple[Image.Image, bytes]:
    """A CMYK or Lab image in sRGB, and that profile."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc) if icc else ImageCms.createProfile("LAB"))
    converted = ImageCms.profileToProfile(image, source, srgb, outputMode="RGB")
    assert converted is not None
    return converted, srgb.tobytes()


def _scale_transparent_level(image: Image.Image, data: bytes) -> None:
    """Pillow scales gray of 2 and 4 bits to 8, and leaves the level that tRNS makes transparent as it was."""
    if image.format == "PNG" and image.mode == "L" and "transparency" in image.info:
        image.info["transparency"] *= 255 // (2 ** data[24] - 1)
