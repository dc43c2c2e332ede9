"""Haze: light of the air in place of what lies behind it."""

import math

import cv2
import numpy as np

from lorair.degradations.fields import FloatImage, clip, coarse_field, log_uniform, uniform


def add_haze(
    image: FloatImage,
    rng: np.random.Generator,
    *,
    beta: float | None = None,
    airlight: float | None = None,
) -> FloatImage:
    """Blend towards the airlight A by the scattering model I = J t + A (1 - t), t = exp(-beta d).

    Photographs carry no depth, so the distance d in [0.25, 1] is made up: a ramp, mostly farther at the top, plus a
    smooth random field; by default also silhouettes one behind the other, as of hills, or a near and a far part.
    Defaults: `beta` log-uniform in 0.15..3, `airlight` U(0.5, 1), tinted by at most 0.06 a channel in two of three
    images. An airlight that is given is the same for the three channels.
    """
    height, width = image.shape[:2]
    distance = smooth_distance(rng, height, width)
    if beta is None and rng.random() < 0.5:
        distance = (distance + ridge_distance(rng, height, width)) / 2
    beta = log_uniform(rng, 0.15, 3) if beta is None else beta
    if airlight is None:
        tint = rng.uniform(-0.06, 0.06, 3) if rng.random() < 2 / 3 else np.zeros(3)
        air = np.clip(uniform(rng, 0.5, 1) + tint, 0, 1).astype(np.float32)
    else:
        air = np.full(3, airlight, np.float32)
    transmission = np.exp(-np.float32(beta) * distance)[..., None]
    return clip(image * transmission + air * (1 - transmission))


def smooth_distance(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """Distances [H, W] in [0.25, 1] without edges, the farthest mostly at the top."""
    ramp = np.linspace(uniform(rng, 0.5, 1), uniform(rng, 0, 0.5), height, dtype=np.float32)[:, None]
    weight = uniform(rng, 0.2, 0.8)
    return (0.25 + 0.75 * (weight * ramp + (1 - weight) * coarse_field(rng, height, width))).astype(np.float32)


def ridge_distance(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """Distances [H, W] in [0.25, 1]: two to five ridges, each nearer than what it hides, of softened outline."""
    distance = np.ones((height, width), np.float32)
    x = np.linspace(0, 1, width)
    count = int(rng.integers(2, 6))
    for place in range(1, count):
        waves = [uniform(rng, 0.01, 0.08) * np.sin(2 * math.pi * (f * x + rng.random())) for f in (1.3, 3.1, 7.7)]
        outline = height * (0.15 + 0.75 * place / count + np.sum(waves, axis=0))
        below = np.arange(height)[:, None] > outline[None, :]
        distance[below] = 1 - 0.75 * place / (count - 1)
    return np.asarray(cv2.GaussianBlur(distance, (0, 0), uniform(rng, 0.8, 3)), np.float32)
