"""Which files are images, by their names; their content is checked when they are read."""

from pathlib import Path
from typing import Final

FORMATS: Final = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
WRITABLE: Final = tuple(suffix for suffix in FORMATS if suffix != ".bmp")


def names_image(path: str | Path) -> bool:
    """Whether a path ends in a suffix of `FORMATS`, in either case, and is no hidden file."""
    path = Path(path)
    return path.suffix.lower() in FORMATS and not path.name.startswith(".")


def list_images(folder: Path, recursive: bool = False) -> list[Path]:
    """The image files of a folder by path, with `recursive` those of its folders too.

    Hidden files and folders, and links to folders, are left out. OSError where the folder cannot be listed.
    """
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if names_image(path) and path.is_file():
            found.append(path)
        elif recursive and path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            found += list_images(path, recursive)
    return found


def format_of(path: str | Path) -> str:
    """The format that a file of this suffix is written in; ValueError where there is none."""
    suffix = Path(path).suffix
    if suffix.lower() not in WRITABLE:
        raise ValueError(f"{path}: {suffix or 'no suffix'} is not an output format; use one of {', '.join(WRITABLE)}")
    return FORMATS[suffix.lower()]
