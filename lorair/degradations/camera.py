"""What a camera and its file do to an image: noise, too little light, compression.

A severity that is given selects the textbook form of a degradation; left out, the form is drawn too.
"""

import io

import numpy as np
from PIL import Image

from lorair.degradations.fields import (
    FloatImage,
    clip,
    from_light,
    log_uniform,
    smooth_field,
    to_light,
    to_uint8,
    uniform,
)


def add_noise(image: FloatImage, rng: np.random.Generator, *, sigma: float | None = None) -> FloatImage:
    """Add noise of standard deviation `sigma` on the 0-255 scale; given, it is Gaussian and independent by sample.

    By default `sigma` is log-uniform in 2..60, and the noise one of four kinds: independent (two in five), correlated
    between neighbours as after demosaicing and resizing, mostly of brightness, or the sensor's own: Poisson in linear
    light, before the tone curve.
    """
    if sigma is not None:
        return _add_white(image, rng, sigma)
    sigma, kind = log_uniform(rng, 2, 60), rng.random()
    if kind < 0.4:
        return _add_white(image, rng, sigma)
    if kind < 0.65:
        return clip(image + np.float32(sigma / 255) * smooth_field(rng, image.shape, uniform(rng, 0.4, 1.1)))
    if kind < 0.8:
        return clip(image + np.float32(sigma / 255) * _noise_of_brightness(rng, image.shape))
    return _add_photon_noise(image, rng, sigma)


def darken(
    image: FloatImage,
    rng: np.random.Generator,
    *,
    gamma: float | None = None,
    exposure: float | None = None,
    sigma: float | None = None,
) -> FloatImage:
    """Too little light: illumination to the power `gamma`, linear light times `exposure`, then a sensor's noise.

    The illumination L of the Retinex model I = R L is the largest of a pixel's channels, so hues stay. Given one of
    `gamma` and `exposure`, the other is 1. By default two in three images have gamma U(1.2, 3.2), the others and a half
    of those an exposure log-uniform in 0.06..0.7; `sigma` on the 0-255 scale is 0 in one of three, else U(0, 12).
    """
    if gamma is None and exposure is None:
        form = rng.random()
        gamma = uniform(rng, 1.2, 3.2) if form < 2 / 3 else None
        exposure = log_uniform(rng, 0.06, 0.7) if form > 1 / 3 else None
    if sigma is None:
        sigma = 0 if rng.random() < 1 / 3 else uniform(rng, 0, 12)
    if gamma is not None:
        image = image * image.max(axis=2, keepdims=True) ** np.float32(gamma - 1)
    if exposure is not None:
        image = from_light(to_light(image) * np.float32(exposure))
    return _add_white(image, rng, sigma)


def compress_jpeg(image: FloatImage, rng: np.random.Generator, *, quality: int | None = None) -> FloatImage:
    """Write and read the image as JPEG; `quality` given, once and with 4:2:0 chroma.

    By default it lies in 8..95, lower ones more often (the mean is 44); two of three files have 4:2:0 chroma, the
    others 4:4:4, and one of four was a JPEG before, of a quality within 30..95 and with its blocks elsewhere.
    """
    if quality is not None:
        return _through_jpeg(image, quality, subsampling=2)
    quality = round(8 + 87 * rng.random() ** 1.4)
    if rng.random() < 0.25:
        shift = rng.integers(0, 8, 2)
        before = np.roll(image, shift, axis=(0, 1))
        image = np.roll(_through_jpeg(before, int(rng.integers(30, 96)), subsampling=2), -shift, axis=(0, 1))
    return _through_jpeg(image, quality, subsampling=2 if rng.random() < 2 / 3 else 0)


def _add_white(image: FloatImage, rng: np.random.Generator, sigma: float) -> FloatImage:
    return clip(image + np.float32(sigma / 255) * rng.standard_normal(image.shape, dtype=np.float32))


def _noise_of_brightness(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatImage:
    """Unit variance, of which between a half and all is the same in the three channels."""
    shared = np.float32(uniform(rng, 0.5, 1))
    grey = rng.standard_normal((*shape[:2], 1), dtype=np.float32)
    return np.sqrt(shared) * grey + np.sqrt(1 - shared) * rng.standard_normal(shape, dtype=np.float32)


def _add_photon_noise(image: FloatImage, rng: np.random.Generator, sigma: float) -> FloatImage:
    """Noise whose variance in linear light grows with the light, and is `sigma` at a pixel value of a half.

    A Poisson count is near enough a Gaussian of its variance; the reading of the sensor adds a tenth of it everywhere.
    """
    light = to_light(image)
    middle = 0.5**2.2
    slope = 2.2 * 0.5**1.2
    at_middle = np.float32(sigma / 255 * slope)
    deviation = at_middle * np.sqrt((light + np.float32(0.1 * middle)) / np.float32(1.1 * middle))
    return from_light(light + deviation * rng.standard_normal(image.shape, dtype=np.float32))


def _through_jpeg(image: FloatImage, quality: int, subsampling: int) -> FloatImage:
    """Pillow's `subsampling`: 0 is 4:4:4, 2 is 4:2:0."""
    file = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file), np.float32) / np.float32(255)
