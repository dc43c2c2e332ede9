"""What hides a part of an image: raindrops on the lens, shadows and holes."""

import math

import cv2
import numpy as np

from lorair.degradations.fields import FloatImage, clip, uniform


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


def cast_shadow(
    image: FloatImage,
    rng: np.random.Generator,
    *,
    strength: float | None = None,
    penumbra: float | None = None,
) -> FloatImage:
    """Darken a soft-edged polygon: linear light times 1 - strength inside, red a little less and blue a little more.

    `strength` is by default U(0.4, 0.8); `penumbra`, the Gaussian width of the edge in pixels, by default U(1, 8). What
    reaches a shadow is light of the sky, hence the shift to blue. No generator of shadows is standard; real pairs are
    those of SRD.
    """
    strength = uniform(rng, 0.4, 0.8) if strength is None else strength
    penumbra = uniform(rng, 1, 8) if penumbra is None else penumbra
    mask = cv2.GaussianBlur(_polygon(rng, *image.shape[:2]), (0, 0), penumbra)[..., None]
    shift = uniform(rng, 0, 0.15) * (1 - strength)
    kept = np.float32(1 - strength) + np.array([-shift, 0, shift], np.float32)
    light = image ** np.float32(2.2) * (1 - mask * (1 - kept))
    return clip(light) ** np.float32(1 / 2.2)


def cut_holes(image: FloatImage, rng: np.random.Generator, *, cover: float | None = None) -> FloatImage:
    """Paint thick random strokes white until they cover the share `cover` of the image: what inpainting is to fill.

    By default it is normal with mean 0.3 and deviation 0.12 within 0.035..0.5, as in the hundred masks of DA-CLIP's
    benchmark (arXiv 2310.01018); a stroke may exceed it by its own area. Outside the holes no sample changes.
    """
    cover = float(np.clip(rng.normal(0.3, 0.12), 0.035, 0.5)) if cover is None else cover
    mask = np.zeros(image.shape[:2], np.uint8)
    while np.count_nonzero(mask) < cover * mask.size:
        _paint_stroke(mask, rng)
    return np.where(mask[..., None] > 0, np.float32(1), image)


def _polygon(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """A mask of ones inside a random polygon around a random place."""
    corners = int(rng.integers(4, 9))
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
    reach = rng.uniform(0.25, 0.6, corners)
    x = rng.uniform(0.2, 0.8) + reach * np.cos(angles)
    y = rng.uniform(0.2, 0.8) + reach * np.sin(angles)
    mask = np.zeros((height, width), np.float32)
    cv2.fillPoly(mask, [np.stack([x * width, y * height], axis=1).astype(np.int32)], (1.0,))
    return mask


def _paint_stroke(mask: np.ndarray, rng: np.random.Generator) -> None:
    """A polyline of a few segments, its lengths and thickness in proportion to the mask's shorter side."""
    side = min(mask.shape)
    thickness = max(1, round(side * uniform(rng, 0.03, 0.1)))
    point = rng.uniform(0, mask.shape[::-1])
    direction = uniform(rng, 0, 2 * math.pi)
    for _ in range(int(rng.integers(1, 6))):
        direction += uniform(rng, -math.pi / 2, math.pi / 2)
        ahead = point + side * uniform(rng, 0.05, 0.3) * np.array([math.cos(direction), math.sin(direction)])
        cv2.line(mask, tuple(point.astype(int).tolist()), tuple(ahead.astype(int).tolist()), (1.0,), thickness)
        point = ahead


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
