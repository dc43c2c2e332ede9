"""Decoding that Pillow does not support: 16-bit colour, and planar TIFF files."""

from typing import Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from lorair.errors import ImageError
from lorair.images.picture import Samples
from lorair.images.planar import bits_of, is_planar, planes_of
from lorair.images.tags import MIN_IS_BLACK, PREVIEW_OR_MASK, RGB, STRAIGHT_ALPHA, TIFF_TAG, UNSIGNED

_GRAY_AND_ALPHA: Final = 4  # colour type of PNG


def check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """ImageError where an opened TIFF holds several images, or samples that are not 1 to 16 bits, unsigned."""
    bits, formats = bits_of(image), image.tag_v2.get(TIFF_TAG["SampleFormat"], (1,))
    if not set(formats) <= set(UNSIGNED) or bits not in (1, 2, 4, 8, 16):
        kind = {2: "signed", 3: "floating-point"}.get(formats[0], "unsigned")
        raise ImageError(f"{kind} samples of {bits} bits are not supported; save it with 8 or 16 bits per channel")
    frames = 1
    for index in range(1, image.n_frames):
        image.seek(index)
        frames += not image.tag_v2.get(TIFF_TAG["NewSubfileType"], 0) & PREVIEW_OR_MASK
    if image.n_frames > 1:
        image.seek(0)
    if frames > 1:
        raise ImageError(f"holds {frames} frames; split it into single images first")


def needs_opencv(data: bytes, image: Image.Image) -> bool:
    """Whether `decode_by_opencv` is to decode an image that Pillow has opened from `data`."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        two_planes = is_planar(image) and image.tag_v2[TIFF_TAG["SamplesPerPixel"]] == 2
        return bits_of(image) == 16 or two_planes
    return image.format == "PNG" and data[24] == 16


def decode_by_opencv(data: bytes, image: Image.Image, orientation: int) -> Samples:
    """Upright samples [H, W, C] of 8 or 16 bits, C being gray, gray and alpha, RGB or RGBA.

    `image` is `data` opened by Pillow, which decodes it too, where it can, because OpenCV makes up the rest of a
    file that was cut short.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_layout(image)
        if is_planar(image):
            return upright(np.stack([_decode(plane) for plane in planes_of(data, image)], axis=2), orientation)
        orientation = 1  # OpenCV turns a TIFF upright by itself, a PNG not
    image.load()
    samples = _decode(data)
    if samples.dtype != np.uint16:
        raise _unsupported()
    if samples.ndim == 2:
        samples = _with_transparent_level(samples[..., None], image.info.get("transparency"))
    elif image.format == "PNG" and data[25] == _GRAY_AND_ALPHA:
        samples = samples[..., [0, 3]]
    else:
        samples = samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    return upright(samples, orientation)


def upright(samples: Samples, orientation: int) -> Samples:
    """Samples [H, W, C] turned as the EXIF orientation 1..8 asks (Exif 2.32, tag 274)."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def _decode(data: bytes) -> Samples:
    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _unsupported() from error
    if samples is None or samples.dtype.name not in ("uint8", "uint16"):
        raise _unsupported()
    return cast("Samples", samples)


def _check_layout(image: TiffImagePlugin.TiffImageFile) -> None:
    photometric = image.tag_v2.get(TIFF_TAG["PhotometricInterpretation"])
    extra = image.tag_v2.get(TIFF_TAG["ExtraSamples"], ())
    if photometric not in (MIN_IS_BLACK, RGB) or extra not in ((), (STRAIGHT_ALPHA,)):
        raise ImageError(
            f"{bits_of(image)}-bit TIFF with photometric interpretation {photometric} and extra samples {extra} "
            "is not supported; save it as RGB with straight alpha or none"
        )


def _with_transparent_level(gray: Samples, level: int | None) -> Samples:
    """PNG may name one gray level as transparent (tRNS), which OpenCV leaves out: [H, W, 1] -> [H, W, 2]."""
    if level is None:
        return gray
    alpha: NDArray[np.uint16] = np.where(gray == level, 0, 65535).astype(np.uint16)
    return np.concatenate([gray, alpha], axis=2)


def _unsupported() -> ImageError:
    return ImageError("its layout is not supported; save it as RGB with 8 or 16 bits per channel")
