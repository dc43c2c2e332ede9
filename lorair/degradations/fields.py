"""What the degradations are made of: random fields, lines and draws; images are float32 [H, W, 3] in [0, 1]."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def clip(image: NDArray[np.floating]) -> FloatImage:
    return np.clip(image, 0, 1, dtype=np.float32)


def to_uint8(image: FloatImage) -> NDArray[np.uint8]:
    """Round an image in [0, 1] to the nearest of 256 levels."""
    return np.rint(image * np.float32(255)).astype(np.uint8)


def sparse_field(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> FloatImage:
    """Ones at independent random pixels, `density` of them on average, elsewhere zero."""
    field = np.zeros(math.prod(shape), np.float32)
    field[rng.integers(field.size, size=rng.poisson(density * field.size))] = 1
    return field.reshape(shape)


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> FloatImage:
    """White noise after a Gaussian filter, scaled to unit variance."""
    field = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), sigma)
    return field * np.float32(2 * math.sqrt(math.pi) * sigma)


def line_kernel(length: float, width: float, angle: float) -> FloatImage:
    """A line through the centre, `angle` radians from the vertical, with a Gaussian profile across; its peak is 1."""
    radius = math.ceil(length / 2) + 1
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = x * math.sin(angle) + y * math.cos(angle)
    across = x * math.cos(angle) - y * math.sin(angle)
    ends = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    return (ends * np.exp(-(across**2) / (2 * width**2))).astype(np.float32)
