"""Degradations to measure by: of another hand than those that `lorair.degradations` trains with.

Every recipe takes a clean image, float32 [H, W, 3] RGB in [0, 1], a severity 0 (mild), 1 or 2 (strong) and a generator,
and returns the degraded one, whose values may exceed the range. They share no code with the training's: other
renderers, other parameters.
"""

import math
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Recipe = Callable[[Image, int, np.random.Generator], NDArray[np.floating]]


def noise(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Gaussian noise of sigma 10, 25 or 50, or as often photons counted in linear light."""
    if rng.random() < 0.5:
        return image + rng.normal(0, (10, 25, 50)[severity] / 255, image.shape).astype(np.float32)
    photons = (700, 130, 35)[severity]
    return (rng.poisson(image**2.2 * photons) / photons).astype(np.float32).clip(0, 1) ** np.float32(1 / 2.2)


def jpeg(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    quality = ((45, 70), (20, 30), (8, 14))[severity]
    options = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*quality)), cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    _, file = cv2.imencode(".jpg", np.rint(image.clip(0, 1)[..., ::-1] * 255).astype(np.uint8), options)
    decoded = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded[..., ::-1].astype(np.float32) / np.float32(255)


def haze(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Scattering over a depth guessed from the picture: high, bright and colourless is far."""
    height, width = image.shape[:2]
    bright = cv2.GaussianBlur(image.max(2) - 0.5 * np.ptp(image, axis=2), (0, 0), width / 24)
    depth = bright / max(float(bright.max()), 1e-3) + np.linspace(1, 0, height, dtype=np.float32)[:, None]
    depth = cv2.bilateralFilter((depth / depth.max()).astype(np.float32), 9, 0.1, 5)
    thickness = rng.uniform(*((0.35, 0.6), (0.9, 1.3), (1.7, 2.4))[severity])
    air = (rng.uniform(0.72, 0.95) + rng.choice([-0.03, 0, 0.03]) * np.array([1, 0, -1])).astype(np.float32)
    clear = np.exp(-thickness * (0.3 + 0.7 * depth)).astype(np.float32)[..., None]
    return image * clear + air * (1 - clear)


def rain(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Antialiased line segments, drawn one by one in three depths and blended towards light grey."""
    height, width = image.shape[:2]
    slant, cover = rng.uniform(-0.6, 0.6), np.zeros((height, width), np.float32)
    count = (60, 250, 700)[severity] * height * width / 65536
    for near in (0.4, 0.7, 1.0):
        layer = np.zeros((height, width), np.uint8)
        for _ in range(round(count * (1.2 - near))):
            x, y, long = rng.uniform(-20, width + 20), rng.uniform(-20, height), near * rng.uniform(10, 34)
            lean = slant + rng.normal(0, 0.04)
            ends = ((round(x * 16), round(y * 16)), (round((x + lean * long) * 16), round((y + long) * 16)))
            cv2.line(layer, *ends, int(rng.uniform(90, 255)), 1 if near < 1 else 2, cv2.LINE_AA, shift=4)
        soft = cv2.GaussianBlur(layer, (0, 0), 0.4 + 0.5 * near).astype(np.float32) / 255
        cover = np.maximum(cover, soft * (0.35, 0.5, 0.7)[severity])
    return image + cover[..., None] * (np.float32(0.9) - image)


def snow(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Filled ellipses with a blurred rim; a few large flakes near the lens, many small ones behind."""
    height, width = image.shape[:2]
    cover = np.zeros((height, width), np.float32)
    for size, share in ((0.9, 1.0), (1.8, 0.4), (4.0, 0.08)):
        layer = np.zeros((height, width), np.uint8)
        for _ in range(round((50, 170, 420)[severity] * share * height * width / 65536)):
            place = (round(rng.uniform(0, width) * 16), round(rng.uniform(0, height) * 16))
            axes = tuple(round(16 * size * factor) for factor in rng.uniform(0.6, 1.3, 2))
            cv2.ellipse(layer, place, axes, rng.uniform(0, 180), 0, 360, int(rng.uniform(110, 255)), -1, cv2.LINE_AA, 4)
        cover = np.maximum(cover, cv2.blur(layer, (3, 3)).astype(np.float32) / 255 * rng.uniform(0.6, 0.95))
    return image + cover[..., None] * (np.float32(0.97) - image)


def low_light(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """A third to a fifteenth of the light, on a sensor that counts few photons, through a tone curve with a toe."""
    light = image**2.2 / rng.uniform(*((2.5, 4), (5, 8), (10, 15))[severity])
    photons = rng.uniform(2000, 8000)
    light = rng.poisson(light * photons) / photons + rng.normal(0, 0.0008, image.shape)
    value = light.clip(0, 1).astype(np.float32) ** np.float32(1 / 2.2)
    return value * value / (value + np.float32(0.03))


def blur(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """A hexagonal aperture out of focus or a straight motion."""
    reach = (2, 4, 8)[severity]
    mask = np.zeros((4 * reach + 3,) * 2, np.float32)
    middle, turn = 2 * reach + 1, rng.uniform(0, math.pi)
    if rng.random() < 0.5:
        angles = turn + np.arange(6) * math.pi / 3
        corners = np.stack([np.cos(angles), np.sin(angles)], 1) * (0.5 + 0.6 * reach) + middle
        cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], (1.0,), shift=4)
    else:
        step = 1.2 * reach * np.array([math.cos(turn), math.sin(turn)])
        start, end = (tuple(np.rint((middle + sign * step) * 16).astype(int).tolist()) for sign in (-1, 1))
        cv2.line(mask, start, end, (1.0,), 1, shift=4)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.5)
    return np.asarray(cv2.filter2D(image, -1, mask / mask.sum(), borderType=cv2.BORDER_REFLECT_101), np.float32)


def mixture(image: Image, severity: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Two or three at once, as they meet."""
    together: tuple[tuple[Recipe, ...], ...] = (
        (rain, haze),
        (snow, haze, jpeg),
        (rain, noise, jpeg),
        (low_light, jpeg),
        (haze, noise),
        (blur, noise),
        (snow, low_light),
        (noise, jpeg),
    )
    for recipe in together[int(rng.integers(len(together)))]:
        image = recipe(image, severity, rng).clip(0, 1).astype(np.float32)
    return image


RECIPES: Final[dict[str, Recipe]] = {
    recipe.__name__: recipe for recipe in (noise, jpeg, haze, rain, snow, low_light, blur, mixture)
}
