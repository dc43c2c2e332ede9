"""Blur of a shaken camera and of a lens out of focus; averages are of linear light, as on a sensor."""

import math

import cv2
import numpy as np

from lorair.degradations.fields import FloatImage, convolve, disc_kernel, from_light, log_uniform, to_light, uniform


def blur(
    image: FloatImage,
    rng: np.random.Generator,
    *,
    length: float | None = None,
    radius: float | None = None,
    sigma: float | None = None,
) -> FloatImage:
    """Blur an image by motion of `length` pixels, by a disc of `radius` or by a Gaussian of `sigma`.

    Give one of the three. By default one is drawn, motion as often as the two others together, log-uniform: `length` in
    2..32, `radius` in 0.7..6, `sigma` in 0.5..4.
    """
    if length is None and radius is None and sigma is None:
        kind = rng.random()
        length = log_uniform(rng, 2, 32) if kind < 0.5 else None
        radius = log_uniform(rng, 0.7, 6) if 0.5 <= kind < 0.75 else None
        sigma = log_uniform(rng, 0.5, 4) if kind >= 0.75 else None
    light = to_light(image)
    if length is not None:
        light = convolve(light, path_kernel(camera_path(rng, length)))
    if radius is not None:
        kernel = disc_kernel(radius)
        light = convolve(light, kernel / kernel.sum())
    if sigma is not None:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)
    return from_light(light)


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
