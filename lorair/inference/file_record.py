"""The result of restoring a file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class FileRecord:
    """The outcome for one file.

    Attributes:
        source: the image file.
        target: the file that its restoration goes to.
        status: skipped where the target exists, unless outputs are overwritten.
        reason: why it was skipped or failed, else null.
        degradation: the one of the largest gate; null where nothing was restored.
        gates: the share of each degradation's expert.
        seconds: the time in the runtime, without decoding and encoding.
        notes: where the outcome differs from what was asked, such as smaller tiles after running out of memory.
    """

    source: Path
    target: Path
    status: Literal["restored", "skipped", "failed"]
    reason: str | None = None
    degradation: str | None = None
    gates: dict[str, float] = field(default_factory=dict[str, float])
    seconds: float | None = None
    notes: tuple[str, ...] = ()
