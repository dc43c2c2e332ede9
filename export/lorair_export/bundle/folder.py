"""A bundle's folder: it appears whole under its name, or not at all."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lorair.system import folder_written_aside
from lorair_export.errors import ExportError

MANIFEST: Final = "manifest.json"


@contextmanager
def new_bundle(target: Path, overwrite: bool = False, marker: str = MANIFEST) -> Generator[Path]:
    """A folder to fill, next to `target`, that takes its name when the block ends well, or else vanishes.

    Raises:
        ExportError: the target exists and `overwrite` is not set, or it lacks the file `marker` by which
            such folders are known; so too if it came to be meanwhile.
    """
    reject_existing(target, overwrite, marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with folder_written_aside(target) as bundle:
            yield bundle
            reject_existing(target, overwrite, marker)
    except FileExistsError as error:
        if error.filename != str(target):
            raise
        raise ExportError(f"{target}: another command is writing it too; this one's result was dropped") from error


def reject_existing(target: Path, overwrite: bool, marker: str = MANIFEST) -> None:
    """ExportError where `target` exists, and `overwrite` is not set or it lacks the file `marker`."""
    if not target.exists():
        return
    if not overwrite:
        raise ExportError(f"{target} exists; choose another --output or pass --overwrite")
    if not (target / marker).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise ExportError(f"{target} exists and has no {marker}, so --overwrite does not replace it")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
