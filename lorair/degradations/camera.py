"""What a camera and its file do to an image: noise, too little light, motion, compression."""

import io
import math

import cv2
import numpy as np
from PIL import Image

from lorair.degradations.fields import FloatImage, clip, to_uint8, uniform


def add_noise(image: FloatImage, rng: np.random.Generator, *, sigma: float | None = None) -> FloatImage:
    """Add independent Gaussian noise to every sample; `sigma` on the 0-255 scale, by default U(15, 50)."""
    sigma = uniform(rng, 15, 50) if sigma is None else sigma
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return clip(image + np.float32(sigma / 255) * noise)


def darken(
    image: FloatImage,
    rng: np.random.Generator,
    *,
    gamma: float | None = None,
    sigma: float | None = None,
) -> FloatImage:
    """Raise the illumination of the Retinex model I = R L to the power `gamma`, then add a sensor's noise.

    L is the largest of a pixel's channels, so hues stay. Defaults: gamma U(2, 3), `sigma` U(5, 10) on the 0-255
    scale: more than a clean dark photograph has, so that a router can tell the two apart, and less than `add_noise`.
    """
    gamma = uniform(rng, 2, 3) if gamma is None else gamma
    sigma = uniform(rng, 5, 10) if sigma is None else sigma
    illumination = image.max(axis=2, keepdims=True)
    return add_noise(image * illumination ** np.float32(gamma - 1), rng, sigma=sigma)


def compress_jpeg(image: FloatImage, rng: np.random.Generator, *, quality: int | None = None) -> FloatImage:
    """Write and read the image as JPEG with 4:2:0 chroma; `quality` by default is uniform in 10..40."""
    quality = int(rng.integers(10, 41)) if quality is None else quality
    file = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32) / np.float32(255)


def blur_motion(image: FloatImage, rng: np.random.Generator, *, length: float | None = None) -> FloatImage:
    """Average the image along the smooth random path of a shaken camera, `length` pixels long, by default U(8, 32).

    The average is taken of linear light (gamma 2.2), as on a sensor that stays open while the camera moves.
    """
    length = uniform(rng, 8, 32) if length is None else length
    kernel = path_kernel(camera_path(rng, length))
    light = cv2.filter2D(image ** np.float32(2.2), -1, kernel, borderType=cv2.BORDER_REFLECT)
    return clip(np.asarray(light, np.float32)) ** np.float32(1 / 2.2)


def camera_path(rng: np.random.Generator, length: float) -> FloatImage:
    """Points [N, 2] (x, y) of a path of that length, four a pixel, its mean at the origin; its direction drifts."""
    steps = max(1, math.ceil(4 * length))
    bends = np.cumsum(rng.standard_normal(steps)) * (1.5 / math.sqrt(steps))
    direction = uniform(rng, 0, 2 * math.pi) + bends
    points = np.cumsum(np.stack([np.cos(direction), np.sin(direction)], axis=1), axis=0) * (length / steps)
    return (points - points.mean(axis=0)).astype(np.float32)


def path_kernel(points: FloatImage) -> FloatImage:
    """A filter that averages an image over shifts by `points` [N, 2], each spread bilinearly over four pixels."""
    radius = math.ceil(float(np.abs(points).max())) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    corner = np.floor(points).astype(int)
    part = points - corner
    for i in (0, 1):
        for j in (0, 1):
            weight = np.abs(1 - i - part[:, 0]) * np.abs(1 - j - part[:, 1])
            np.add.at(kernel, (corner[:, 1] + j + radius, corner[:, 0] + i + radius), weight)
    return kernel / np.float32(len(points))
