"""Building blocks of the degradations: random fields, lines and draws; images are float32 [H, W, 3] in [0, 1]."""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]

TONE_GAMMA: Final = 2.2


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A draw whose logarithm is uniform: as often within 2..4 as within 20..40."""
    return math.exp(uniform(rng, math.log(low), math.log(high)))


def clip(image: NDArray[np.floating]) -> FloatImage:
    return np.clip(image, 0, 1, dtype=np.float32)


def to_uint8(image: FloatImage) -> NDArray[np.uint8]:
    """Round an image in [0, 1] to the nearest of 256 levels."""
    return np.rint(image * np.float32(255)).astype(np.uint8)


def to_light(image: FloatImage) -> FloatImage:
    """Linear light of pixel values, by a tone curve of gamma 2.2."""
    return image ** np.float32(TONE_GAMMA)


def from_light(light: NDArray[np.floating]) -> FloatImage:
    """Pixel values of linear light, which is clipped to [0, 1] first."""
    return clip(light) ** np.float32(1 / TONE_GAMMA)


def convolve(image: NDArray[np.floating], kernel: NDArray[np.floating]) -> FloatImage:
    """Each channel of [H, W] or [H, W, 3] filtered by `kernel`, reflected at the borders."""
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT), np.float32)


def sparse_field(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> FloatImage:
    """Ones at independent random pixels, `density` of them on average, elsewhere zero."""
    field = np.zeros(math.prod(shape), np.float32)
    field[rng.integers(field.size, size=rng.poisson(density * field.size))] = 1
    return field.reshape(shape)


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> FloatImage:
    """White noise after a Gaussian filter, each channel on its own, scaled to unit variance."""
    field = np.asarray(cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), sigma), np.float32)
    radius = math.ceil(8 * sigma)
    weights = np.exp(-np.square(np.arange(-radius, radius + 1)) / (2 * sigma**2))
    return field * np.float32(weights.sum() ** 2 / np.square(weights).sum())


def coarse_field(rng: np.random.Generator, height: int, width: int, cells: int = 4) -> FloatImage:
    """A smooth random surface in [0, 1]: `cells` x `cells` uniform values, interpolated bicubically to [H, W]."""
    coarse = rng.uniform(0, 1, (cells, cells)).astype(np.float32)
    return clip(enlarged(coarse, height, width, cv2.INTER_CUBIC))


def enlarged(field: FloatImage, height: int, width: int, interpolation: int = cv2.INTER_LINEAR) -> FloatImage:
    """A field of another size resized to [height, width]."""
    return np.asarray(cv2.resize(field, (width, height), interpolation=interpolation), np.float32)


def line_kernel(length: float, width: float, angle: float) -> FloatImage:
    """A line through the centre, `angle` radians from the vertical, with a Gaussian profile across; its peak is 1."""
    radius = math.ceil(length / 2) + 1
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = x * math.sin(angle) + y * math.cos(angle)
    across = x * math.cos(angle) - y * math.sin(angle)
    ends = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    return (ends * np.exp(-(across**2) / (2 * width**2))).astype(np.float32)


def disc_kernel(radius: float) -> FloatImage:
    """A disc of that radius in pixels with an antialiased edge; its peak is 1."""
    reach = math.ceil(radius) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
