"""Procedural degradations: synthetic counterparts of noise, rain, haze, snow, low light and JPEG compression.

Every function takes a clean image, float32 [H, W, 3], RGB in [0, 1], and a generator, and returns the degraded
image in the same form. A severity that is left out is drawn from the range stated. Lengths are in pixels, whatever
the image's size.
"""

import io
import math
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatImage = NDArray[np.float32]

FLAKE_SIZES: Final = (1, 2, 4, 6)
RAIN_LIGHT_DENSITY: Final = (5e-4, 1.5e-3)
RAIN_HEAVY_DENSITY: Final = (1e-3, 2.5e-3)


def add_noise(image: FloatImage, rng: np.random.Generator, *, sigma: float | None = None) -> FloatImage:
    """Add independent Gaussian noise to every sample; `sigma` on the 0-255 scale, by default U(15, 50)."""
    sigma = _uniform(rng, 15, 50) if sigma is None else sigma
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return _clip(image + np.float32(sigma / 255) * noise)


def add_rain(image: FloatImage, rng: np.random.Generator, *, layers: int | None = None) -> FloatImage:
    """Add layers of bright streaks that share a direction: one layer is light rain, three to five are heavy rain.

    By default light and heavy rain are equally likely, the direction is within 40 degrees of the vertical.
    """
    if layers is None:
        layers = 1 if rng.random() < 0.5 else int(rng.integers(3, 6))
    density = RAIN_LIGHT_DENSITY if layers == 1 else RAIN_HEAVY_DENSITY
    direction = _uniform(rng, -40, 40)
    streaks = np.zeros(image.shape[:2], np.float32)
    for _ in range(layers):
        angle = math.radians(direction + _uniform(rng, -5, 5))
        drops = _sparse_field(rng, streaks.shape, _uniform(rng, *density)) * np.float32(_uniform(rng, 0.4, 0.9))
        kernel = _line_kernel(_uniform(rng, 16, 40), _uniform(rng, 0.5, 1), angle)
        streaks += cv2.filter2D(drops, -1, kernel, borderType=cv2.BORDER_REFLECT)
    return _clip(image + np.minimum(streaks, np.float32(0.9))[..., None])


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
    beta = _uniform(rng, 0.8, 2) if beta is None else beta
    airlight = _uniform(rng, 0.75, 1) if airlight is None else airlight
    distance = _haze_distance(rng, image.shape[0], image.shape[1])
    transmission = np.exp(-np.float32(beta) * distance)[..., None]
    return _clip(image * transmission + np.float32(airlight) * (1 - transmission))


def add_snow(image: FloatImage, rng: np.random.Generator, *, threshold: float | None = None) -> FloatImage:
    """Composite white flakes of several sizes, J (1 - m) + m, with a mask m from thresholded random fields.

    A flake is where a smooth field of unit variance exceeds `threshold`, by default U(1.9, 2.4); the higher, the
    fewer flakes.
    """
    threshold = _uniform(rng, 1.9, 2.4) if threshold is None else threshold
    direction = _uniform(rng, -60, 60)
    height, width = image.shape[:2]
    clear = np.ones((height, width), np.float32)
    for size in FLAKE_SIZES:
        small = (-(-height // size), -(-width // size))
        field = _smooth_field(rng, small, sigma=1.2)
        mask = np.clip((field - np.float32(threshold)) * 2, 0, 1)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        angle = math.radians(direction + _uniform(rng, -30, 30))
        kernel = _line_kernel(2 + _uniform(rng, 1, 2) * size, 0.5 + 0.1 * size, angle)
        mask = cv2.filter2D(mask, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
        clear *= 1 - np.minimum(mask * 1.5, np.float32(_uniform(rng, 0.7, 1)))
    return _clip(1 - (1 - image) * clear[..., None])


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
    gamma = _uniform(rng, 2, 3) if gamma is None else gamma
    sigma = _uniform(rng, 5, 10) if sigma is None else sigma
    illumination = image.max(axis=2, keepdims=True)
    return add_noise(image * illumination ** np.float32(gamma - 1), rng, sigma=sigma)


def compress_jpeg(image: FloatImage, rng: np.random.Generator, *, quality: int | None = None) -> FloatImage:
    """Write and read the image as JPEG with 4:2:0 chroma; `quality` by default is uniform in 10..40."""
    quality = int(rng.integers(10, 41)) if quality is None else quality
    file = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), np.float32) / np.float32(255)


DEGRADATIONS: Final[dict[str, Callable[..., FloatImage]]] = {
    "noise": add_noise,
    "rain": add_rain,
    "haze": add_haze,
    "snow": add_snow,
    "low_light": darken,
    "jpeg": compress_jpeg,
}


def degrade(image: FloatImage, kind: str, rng: np.random.Generator, **severity: float) -> FloatImage:
    """Degrade a clean image and round it to 8 bits, as a file would hold it.

    `image` is float32 [H, W, 3] in [0, 1]; `severity` fixes parameters of the named degradation, as in `sigma=25`.
    Raises ValueError for a degradation that is not in `DEGRADATIONS`.
    """
    if kind not in DEGRADATIONS:
        raise ValueError(f"unknown degradation {kind!r}; choose one of {', '.join(DEGRADATIONS)}")
    return to_uint8(DEGRADATIONS[kind](image, rng, **severity)).astype(np.float32) / np.float32(255)


def to_uint8(image: FloatImage) -> NDArray[np.uint8]:
    """Round an image in [0, 1] to the nearest of 256 levels."""
    return np.rint(image * np.float32(255)).astype(np.uint8)


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _clip(image: NDArray[np.floating]) -> FloatImage:
    return np.clip(image, 0, 1, dtype=np.float32)


def _sparse_field(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> FloatImage:
    """Ones at independent random pixels, `density` of them on average, elsewhere zero."""
    field = np.zeros(math.prod(shape), np.float32)
    field[rng.integers(field.size, size=rng.poisson(density * field.size))] = 1
    return field.reshape(shape)


def _smooth_field(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> FloatImage:
    """White noise after a Gaussian filter, scaled to unit variance."""
    field = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), sigma)
    return field * np.float32(2 * math.sqrt(math.pi) * sigma)


def _haze_distance(rng: np.random.Generator, height: int, width: int) -> FloatImage:
    """Distances in [0.25, 1], the farthest mostly at the top."""
    ramp = np.linspace(_uniform(rng, 0.5, 1), _uniform(rng, 0, 0.5), height, dtype=np.float32)[:, None]
    coarse = rng.uniform(0, 1, (4, 4)).astype(np.float32)
    field = np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    weight = _uniform(rng, 0.2, 0.8)
    return (0.25 + 0.75 * (weight * ramp + (1 - weight) * field)).astype(np.float32)


def _line_kernel(length: float, width: float, angle: float) -> FloatImage:
    """A line through the centre, `angle` radians from the vertical, with a Gaussian profile across; its peak is 1."""
    radius = math.ceil(length / 2) + 1
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = x * math.sin(angle) + y * math.cos(angle)
    across = x * math.cos(angle) - y * math.sin(angle)
    ends = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    return (ends * np.exp(-(across**2) / (2 * width**2))).astype(np.float32)
