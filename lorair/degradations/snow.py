"""Snow: flakes in front of a scene, by two renderers."""

import math
from typing import Final

import cv2
import numpy as np

from lorair.degradations.fields import (
    FloatImage,
    clip,
    convolve,
    disc_kernel,
    enlarged,
    line_kernel,
    log_uniform,
    smooth_field,
    sparse_field,
    uniform,
)

FLAKE_SIZES: Final = (1, 2, 4, 6)


def add_snow(image: FloatImage, rng: np.random.Generator, *, threshold: float | None = None) -> FloatImage:
    """Composite flakes of several sizes, J (1 - m) + c m, with a mask m of random flakes.

    With `threshold` given the flakes are white, c = 1, and lie where smooth fields of unit variance exceed it: 2.4
    gives few of them and 1.9 many. By default that, with a threshold of U(1.8, 2.7), is one of two renderers; the other
    scatters soft discs of every size, number and opacity, c U(0.8, 1). Its lightest snow is barely visible.
    """
    height, width = image.shape[:2]
    if threshold is not None:
        return clip(1 - (1 - image) * _blots(rng, height, width, threshold)[..., None])
    if rng.random() < 0.45:
        clear = _blots(rng, height, width, uniform(rng, 1.8, 2.7))
        clear = 1 - np.float32(uniform(rng, 0.4, 1)) * (1 - clear)
    else:
        clear = _discs(rng, height, width)
    colour = np.float32(uniform(rng, 0.8, 1))
    return clip(image * clear[..., None] + colour * (1 - clear[..., None]))


def _blots(rng: np.random.Generator, height: int, width: int, threshold: float) -> FloatImage:
    """How much of the scene [H, W] is left by flakes where fields of several scales exceed `threshold`."""
    direction = uniform(rng, -60, 60)
    clear = np.ones((height, width), np.float32)
    for size in FLAKE_SIZES:
        small = (-(-height // size), -(-width // size))
        mask = clip((smooth_field(rng, small, sigma=1.2) - np.float32(threshold)) * 2)
        angle = math.radians(direction + uniform(rng, -30, 30))
        kernel = line_kernel(2 + uniform(rng, 1, 2) * size, 0.5 + 0.1 * size, angle)
        mask = convolve(enlarged(mask, height, width), kernel / kernel.sum())
        clear *= 1 - np.minimum(mask * 1.5, np.float32(uniform(rng, 0.7, 1)))
    return clear


def _discs(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """How much of the scene [H, W] is left by soft discs; larger ones are nearer, fewer and more smeared."""
    amount, strongest = log_uniform(rng, 0.15, 2.5), log_uniform(rng, 0.15, 1)
    fall, wind = uniform(rng, 0.3, 2.5), math.radians(uniform(rng, -60, 60))
    clear = np.ones((height, width), np.float32)
    for _ in range(int(rng.integers(2, 5))):
        radius = log_uniform(rng, 0.6, 8)
        flakes = sparse_field(rng, clear.shape, amount * 0.012 / (1 + radius) ** 2)
        flakes *= rng.uniform(0.3, 1, clear.shape).astype(np.float32)
        softness = uniform(rng, 0.3, 0.6) * (1 + radius) / 2
        flake = cv2.GaussianBlur(np.pad(disc_kernel(radius), math.ceil(2 * softness)), (0, 0), softness)
        mask = convolve(flakes, flake / flake.max())
        streak = line_kernel(1 + fall * radius, 0.5 + radius / 4, wind + uniform(rng, -0.3, 0.3))
        mask = convolve(mask, streak / streak.sum())
        clear *= 1 - np.minimum(mask, 1) * np.float32(strongest)
    return clear
