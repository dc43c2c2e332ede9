"""Several degradations of one image, in the order in which they happen: weather, optics, sensor, file."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from lorair.degradations.fields import FloatImage, to_uint8
from lorair.degradations.kinds import DEGRADATIONS, degrade
from lorair.errors import UnknownDegradationError

# At most one of each group; haze also occurs with rain and snow.
STAGES: Final[tuple[tuple[str, ...], ...]] = (
    ("rain", "snow"),
    ("haze",),
    ("blur",),
    ("low_light",),
    ("noise",),
    ("jpeg",),
)


def degrade_by(image: FloatImage, kinds: Sequence[str], rng: np.random.Generator) -> FloatImage:
    """Degrade a clean image, float32 [H, W, 3] in [0, 1], by each of `kinds` in the order of `STAGES`.

    Kinds that `STAGES` does not name are applied first. The result is rounded to 8 bits once, at the end, as one file
    would hold
    it, and so is an image without degradations. Raises ValueError for a degradation that is not in `DEGRADATIONS`.
    """
    if unknown := sorted(set(kinds) - set(DEGRADATIONS)):
        raise UnknownDegradationError(unknown[0], DEGRADATIONS)
    ordered = sorted(kinds, key=_stage)
    for kind in ordered[:-1]:
        image = DEGRADATIONS[kind](image, rng)
    if not ordered:
        return to_uint8(image).astype(np.float32) / np.float32(255)
    return degrade(image, ordered[-1], rng)


def draw_mixture(first: str, known: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    """`first` with one or two others of `known`, each of another stage, in the order in which they happen."""
    others = [kind for kind in known if _stage(kind) not in (-1, _stage(first))]
    chosen = [first]
    for kind in rng.permutation(others)[: int(rng.integers(1, 3))].tolist():
        if all(_stage(kind) != _stage(earlier) for earlier in chosen):
            chosen.append(kind)
    return tuple(sorted(chosen, key=_stage))


def _stage(kind: str) -> int:
    return next((place for place, kinds in enumerate(STAGES) if kind in kinds), -1)
