"""A handful of photographs for checks and demonstrations, with their licences in LICENCES.tsv.

None of them was trained on: the clean ones are among the validation photographs of the default model.
"""

from pathlib import Path

_HERE = Path(__file__).parent


def examples() -> list[Path]:
    """Clean photographs, by name; JPEG, short side 512 pixels."""
    return sorted((_HERE / "clean").glob("*.jpg"))


def degraded_examples() -> list[Path]:
    """Photographs of real mist, by name; JPEG, short side 640 pixels."""
    return sorted((_HERE / "degraded").glob("*.jpg"))
