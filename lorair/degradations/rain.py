"""Rain: streaks of falling drops, by three renderers, and the mist of a heavy shower."""

import math
from typing import Final

import cv2
import numpy as np

from lorair.degradations.fields import (
    FloatImage,
    clip,
    convolve,
    enlarged,
    line_kernel,
    log_uniform,
    sparse_field,
    uniform,
)

LIGHT_DENSITY: Final = (5e-4, 1.5e-3)
HEAVY_DENSITY: Final = (1e-3, 2.5e-3)


def add_rain(image: FloatImage, rng: np.random.Generator, *, layers: int | None = None) -> FloatImage:
    """Add streaks that share a direction, within 40 degrees of the vertical.

    `layers` given, they are bright lines that are added, 16 to 40 pixels long: one layer is light rain, three to five
    are heavy rain. By default those are one of three renderers; the others composite streaks of near and far drops of
    every length and opacity, and stretch grains of noise into fine rain; one in four has mist besides.
    """
    if layers is not None:
        return _add_lines(image, rng, layers)
    renderer = rng.random()
    if renderer < 0.3:
        return _add_lines(image, rng, 1 if rng.random() < 0.5 else int(rng.integers(3, 6)))
    opacity = _drops(rng, *image.shape[:2]) if renderer < 0.7 else _grains(rng, *image.shape[:2])
    colour = np.float32(uniform(rng, 0.65, 1)) * (1 + rng.uniform(-0.03, 0.03, 3).astype(np.float32))
    if rng.random() < 0.25:
        mist = np.float32(uniform(rng, 0.02, 0.3))
        image = clip(image * (1 - mist) + colour * mist)
    return clip(image + opacity[..., None] * (np.maximum(colour, image) - image))


def _add_lines(image: FloatImage, rng: np.random.Generator, layers: int) -> FloatImage:
    density = LIGHT_DENSITY if layers == 1 else HEAVY_DENSITY
    direction = uniform(rng, -40, 40)
    streaks = np.zeros(image.shape[:2], np.float32)
    for _ in range(layers):
        angle = math.radians(direction + uniform(rng, -5, 5))
        drops = sparse_field(rng, streaks.shape, uniform(rng, *density)) * np.float32(uniform(rng, 0.4, 0.9))
        streaks += convolve(drops, line_kernel(uniform(rng, 16, 40), uniform(rng, 0.5, 1), angle))
    return clip(image + np.minimum(streaks, np.float32(0.9))[..., None])


def _drops(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """Opacity [H, W] of one to four layers: the nearer, the fewer, longer, wider and fainter its streaks."""
    direction, amount = uniform(rng, -40, 40), log_uniform(rng, 0.25, 2)
    strongest = log_uniform(rng, 0.06, 0.9)
    clear = np.ones((height, width), np.float32)
    for nearness in rng.uniform(0, 1, int(rng.integers(1, 5))):
        length = 5 + 55 * nearness**1.5 * uniform(rng, 0.6, 1.4)
        thickness = 0.35 + 1.4 * nearness * uniform(rng, 0.5, 1.2)
        drops = sparse_field(rng, clear.shape, amount * 0.03 / (length * thickness))
        drops *= rng.uniform(0.3, 1, clear.shape).astype(np.float32)
        kernel = line_kernel(length, thickness, math.radians(direction + uniform(rng, -6, 6)))
        layer = np.float32(strongest * (1 - 0.5 * nearness)) * convolve(drops, kernel)
        clear *= 1 - np.minimum(layer, np.float32(strongest))
    return 1 - clear


def _grains(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """Opacity [H, W] of noise that is thresholded, enlarged and stretched along one direction."""
    scale = uniform(rng, 1, 2.5)
    small = (math.ceil(height / scale), math.ceil(width / scale))
    noise = cv2.GaussianBlur(rng.standard_normal(small, dtype=np.float32), (0, 0), 0.6)
    noise = clip(noise / noise.std() - np.float32(uniform(rng, 1.2, 2.2)))
    length = uniform(rng, 8, 45)
    streaks = convolve(enlarged(noise, height, width), line_kernel(length, 0.5, math.radians(uniform(rng, -40, 40))))
    return np.float32(log_uniform(rng, 0.05, 0.7)) * np.clip(streaks / max(1e-6, float(streaks.max())), 0, 1)
