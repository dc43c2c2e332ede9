"""Rain, haze, snow and raindrops on the lens."""

import math
from typing import Final

import cv2
import numpy as np

from lorair.degradations.fields import FloatImage, clip, line_kernel, smooth_field, sparse_field, uniform

FLAKE_SIZES: Final = (1, 2, 4, 6)
RAIN_LIGHT_DENSITY: Final = (5e-4, 1.5e-3)
RAIN_HEAVY_DENSITY: Final = (1e-3, 2.5e-3)


def add_rain(image: FloatImage, rng: np.random.Generator, *, layers: int | None = None) -> FloatImage:
    """Add layers of bright streaks that share a direction: one layer is light rain, three to five are heavy rain.

    By default light and heavy rain are equally likely, the direction is within 40 degrees of the vertical.
    """
    if layers is None:
        layers = 1 if rng.random() < 0.5 else int(rng.integers(3, 6))
    density = RAIN_LIGHT_DENSITY if layers == 1 else RAIN_HEAVY_DENSITY
    direction = uniform(rng, -40, 40)
    streaks = np.zeros(image.shape[:2], np.float32)
    for _ in range(layers):
        angle = math.radians(direction + uniform(rng, -5, 5))
        drops = sparse_field(rng, streaks.shape, uniform(rng, *density)) * np.float32(uniform(rng, 0.4, 0.9))
        kernel = line_kernel(uniform(rng, 16, 40), uniform(rng, 0.5, 1), angle)
        streaks += cv2.filter2D(drops, -1, kernel, borderType=cv2.BORDER_REFLECT)
    return clip(image + np.minimum(streaks, np.float32(0.9))[..., None])


def add_haze(
    image: FloatImage,
    rng: np.random.Generator,
    *,
    beta: float | None = None,
    airlight: float | None = None,
) -> FloatImage:
    """Blend towards the airlight A by the scattering model I = J t + A (1 - t), t = exp(-beta d).

    The distance d in [0.25, 1] is a vertical ramp plus a smooth random field, since photographs carry no depth.
    Defaults: beta U(0.8, 2), A U(0.75, 1), the same for the three channels.
    """
    beta = uniform(rng, 0.8, 2) if beta is None else beta
    airlight = uniform(rng, 0.75, 1) if airlight is None else airlight
    distance = _haze_distance(rng, image.shape[0], image.shape[1])
    transmission = np.exp(-np.float32(beta) * distance)[..., None]
    return clip(image * transmission + np.float32(airlight) * (1 - transmission))


def add_snow(image: FloatImage, rng: np.random.Generator, *, threshold: float | None = None) -> FloatImage:
    """Composite white flakes of several sizes, J (1 - m) + m, with a mask m from thresholded random fields.

    A flake is where a smooth field of unit variance exceeds `threshold`, by default U(1.9, 2.4); the higher, the
    fewer flakes.
    """
    threshold = uniform(rng, 1.9, 2.4) if threshold is None else threshold
    direction = uniform(rng, -60, 60)
    height, width = image.shape[:2]
    clear = np.ones((height, width), np.float32)
    for size in FLAKE_SIZES:
        small = (-(-height // size), -(-width // size))
        field = smooth_field(rng, small, sigma=1.2)
        mask = np.clip((field - np.float32(threshold)) * 2, 0, 1)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        angle = math.radians(direction + uniform(rng, -30, 30))
        kernel = line_kernel(2 + uniform(rng, 1, 2) * size, 0.5 + 0.1 * size, angle)
        mask = cv2.filter2D(mask, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        clear *= 1 - np.minimum(mask * 1.5, np.float32(uniform(rng, 0.7, 1)))
    return clip(1 - (1 - image) * clear[..., None])


def _haze_distance(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """Distances in [0.25, 1], the farthest mostly at the top."""
    ramp = np.linspace(uniform(rng, 0.5, 1), uniform(rng, 0, 0.5), height, dtype=np.float32)[:, None]
    coarse = rng.uniform(0, 1, (4, 4)).astype(np.float32)
    field = np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    weight = uniform(rng, 0.2, 0.8)
    return (0.25 + 0.75 * (weight * ramp + (1 - weight) * field)).astype(np.float32)


def add_raindrops(
    image: FloatImage,
    rng: np.random.Generator,
    *,
    cover: float | None = None,
    radius: float | None = None,
) -> FloatImage:
    """Put drops on the pane in front of the lens: each shows the scene behind it small, upside down and out of focus.

    A drop is a disc joined with an ellipse, darker by 0.3 towards its edge. Drops fall until they would cover the
    share `cover` of the image if none overlapped, by default U(0.05, 0.25); `radius` in pixels is drawn for each drop,
    by default from U(6, 30).
    """
    cover = uniform(rng, 0.05, 0.25) if cover is None else cover
    height, width = image.shape[:2]
    result = image.copy()
    left = cover * height * width
    while left > 0:
        size = uniform(rng, 6, 30) if radius is None else radius
        left -= math.pi * size**2
        _add_drop(result, image, rng, size)
    return clip(result)


def _add_drop(result: FloatImage, scene: FloatImage, rng: np.random.Generator, radius: float) -> None:
    """Draw one drop into `result`, at a random place."""
    height, width = scene.shape[:2]
    x, y = uniform(rng, 0, width), uniform(rng, 0, height)
    reach = math.ceil(1.4 * radius) + 2
    columns = np.arange(max(0, int(x) - reach), min(width, int(x) + reach + 1), dtype=np.float32)
    rows = np.arange(max(0, int(y) - reach), min(height, int(y) + reach + 1), dtype=np.float32)
    across, down = np.meshgrid((columns - x) / radius, (rows - y) / radius)
    stretch = uniform(rng, 1.1, 1.4)
    distance = np.minimum(np.hypot(across, down), np.hypot(across * 1.2, (down - 0.2) / (stretch - 0.2)))
    alpha = np.clip((1 - distance) * radius / 2 + 0.5, 0, 1)[..., None]
    wide = uniform(rng, 2, 4) * radius
    seen = cv2.remap(scene, x - wide * across, y - wide * down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    seen = cv2.GaussianBlur(seen, (0, 0), max(0.5, radius / 10))
    edge = np.clip(distance, 0, 1)[..., None] ** 4
    part = result[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
    part += alpha * (seen * (1 - np.float32(0.3) * edge) - part)
