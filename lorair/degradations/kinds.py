"""The degradations by name."""

import inspect
from collections.abc import Callable
from typing import Final

import numpy as np

from lorair.degradations.blur import blur
from lorair.degradations.camera import add_noise, compress_jpeg, darken
from lorair.degradations.fields import FloatImage, to_uint8
from lorair.degradations.haze import add_haze
from lorair.degradations.occlusion import add_raindrops, cast_shadow, cut_holes
from lorair.degradations.rain import add_rain
from lorair.degradations.snow import add_snow
from lorair.errors import UnknownDegradationError

DEGRADATIONS: Final[dict[str, Callable[..., FloatImage]]] = {
    "noise": add_noise,
    "rain": add_rain,
    "haze": add_haze,
    "snow": add_snow,
    "low_light": darken,
    "jpeg": compress_jpeg,
    "blur": blur,
    "raindrop": add_raindrops,
    "shadow": cast_shadow,
    "hole": cut_holes,
}


def degrade(image: FloatImage, kind: str, rng: np.random.Generator, **severity: float) -> FloatImage:
    """Degrade a clean image and round it to 8 bits, as a file would hold it.

    `image` is float32 [H, W, 3] in [0, 1]; `severity` fixes parameters of the named degradation, as in `sigma=25`.
    Raises ValueError for a degradation that is not in `DEGRADATIONS`, or a parameter that it does not have.
    """
    if unknown := sorted(set(severity) - set(severities(kind))):
        known = ", ".join(severities(kind))
        raise ValueError(f"{kind} has no parameter {', '.join(unknown)}; it has {known}")
    return to_uint8(DEGRADATIONS[kind](image, rng, **severity)).astype(np.float32) / np.float32(255)


def severities(kind: str) -> tuple[str, ...]:
    """The parameters of a degradation that may be fixed; ValueError for one that is not in `DEGRADATIONS`."""
    if kind not in DEGRADATIONS:
        raise UnknownDegradationError(kind, DEGRADATIONS)
    parameters = inspect.signature(DEGRADATIONS[kind]).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
