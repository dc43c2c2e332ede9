"""Atomic writing: a file or folder is written next to its place, then renamed, so it appears whole or not at all."""

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = ".lorair-"
_SUFFIX: Final = ".part"


@contextmanager
def written_aside(path: Path) -> Generator[Path]:
    """A path next to `path` to write to, which is renamed to it when the block ends well and else removed.

    What the block raises leaves `path` as it was. A file that is replaced passes its permissions on; a new one gets
    the usual ones.

    Raises:
        OSError: the folder is missing or cannot be written to; it names `path`, not the file aside.
    """
    aside = path.with_name(f"{_PREFIX}{uuid.uuid4().hex}{_SUFFIX}")
    try:
        yield aside
        with suppress(OSError):  # a new file, or a file system without permissions
            aside.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(aside, path)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(aside)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file by way of `written_aside`."""
    with written_aside(path) as aside:
        aside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text by way of `written_aside`."""
    write_bytes(path, text.encode())


@contextmanager
def folder_written_aside(path: Path) -> Generator[Path]:
    """An empty folder next to `path`, which takes its place when the block ends well and else is removed.

    A folder that stands at `path` by then is replaced and removed; it comes back where the renaming fails. To keep
    one, let the block's last line look for it and raise.

    Raises:
        FileExistsError: another process put a folder at `path` between the two renames.
        OSError: the parent is missing or cannot be written to; it names `path`, not the folder aside.
    """
    aside = path.with_name(f"{_PREFIX}{uuid.uuid4().hex}{_SUFFIX}")
    new, old = aside / "new", aside / "old"
    try:
        aside.mkdir()
        new.mkdir()
        yield new
        _replace_folder(path, new, old)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(aside), str(old), str(new)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing into a folder; no other process may be writing into it."""
    for aside in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        if aside.is_dir():
            shutil.rmtree(aside)
        else:
            aside.unlink()


def _replace_folder(path: Path, new: Path, old: Path) -> None:
    try:
        with suppress(FileNotFoundError):
            os.replace(path, old)
        os.replace(new, path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        raise FileExistsError(errno.EEXIST, "another process is writing it too", str(path)) from error
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
