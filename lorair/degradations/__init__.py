"""Procedural degradations: synthetic counterparts of what spoils photographs, seeded.

Every function takes a clean image, float32 [H, W, 3], RGB in [0, 1], and a generator, and returns the degraded
image in the same form. A severity that is left out is drawn from the range stated. Lengths are in pixels, whatever
the image's size.
"""

from lorair.degradations.fields import FloatImage, to_uint8
from lorair.degradations.files import contact_sheet, degrade_file, severity_from
from lorair.degradations.kinds import DEGRADATIONS, degrade, severities
from lorair.degradations.mixtures import degrade_by, draw_mixture

__all__ = [
    "DEGRADATIONS",
    "FloatImage",
    "contact_sheet",
    "degrade",
    "degrade_by",
    "degrade_file",
    "draw_mixture",
    "severities",
    "severity_from",
    "to_uint8",
]
