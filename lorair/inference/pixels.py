"""Pixels of a picture or of a caller's image <-> the float32 tensors that a runtime takes."""

from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorair.errors import LorairError
from lorair.images import Picture, Samples, picture_from_samples, samples_from_picture

ImageLike: TypeAlias = Samples | Image.Image
PILLOW_MODES = ("L", "LA", "RGB", "RGBA", "I;16")


def tensor_from_pixels(pixels: Samples) -> Tensor:
    """uint8 or uint16 `[H, W, 3]` -> float32 `[1, 3, H, W]` in [0, 1]."""
    scaled = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    return torch.from_numpy(scaled).permute(2, 0, 1)[None].contiguous()


def pixels_from_tensor(image: Tensor, like: Picture) -> Samples:
    """Floating `[1, 3, H, W]` in [0, 1] -> `[H, W, 3]`, in the dtype of `like` and gray where that is.

    Raises:
        LorairError: a value is not finite.
    """
    if not image.isfinite().all():
        raise LorairError("the restored image holds values that are not finite; use a model of higher precision")
    if like.gray:
        image = image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    shades = image[0].float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    if like.pixels.dtype == np.uint8:
        return np.rint(shades * 255).astype(np.uint8)
    return np.rint(shades * 65535).astype(np.uint16)


def pad_reflected(image: Tensor, height: int, width: int | None = None) -> Tensor:
    """Reflect `[B, 3, H, W]` below and to the right, as often as it takes, to at least `height` and `width`, by
    default a square of that."""
    for axis, side in ((-2, height), (-1, width or height)):
        size = image.shape[axis]
        if size < side:
            period = max(2 * size - 2, 1)
            index = torch.arange(side, device=image.device) % period
            image = image.index_select(axis, torch.minimum(index, period - index) % size)
    return image


def picture_from_image(image: ImageLike) -> Picture:
    """An array `[H, W]` or `[H, W, 1 to 4]` or a PIL image as a picture; ValueError where it is neither."""
    if isinstance(image, np.ndarray):
        return picture_from_samples(image)
    if image.mode not in PILLOW_MODES:
        known = ", ".join(PILLOW_MODES)
        raise ValueError(f"a PIL image must have mode {known}; got {image.mode}, so convert it to RGB first")
    return picture_from_samples(np.asarray(image))


def image_from_picture(picture: Picture, like: ImageLike) -> ImageLike:
    """A picture in the kind, shape and metadata of the image that it was made from."""
    samples = samples_from_picture(picture)
    if isinstance(like, np.ndarray):
        return samples.reshape(like.shape)
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    image.info = dict(like.info)
    return image
