"""Which files of a published layout make pairs: a source's globs and pattern -> paths."""

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lorair.errors import ImageError
from lorair.images import names_image
from lorair.settings import Source


@dataclass(frozen=True)
class Pair:
    """Paths below the root, with forward slashes; `degraded` is None where the degradation is applied on reading."""

    clean: str
    degraded: str | None

    @property
    def name(self) -> str:
        return self.degraded or self.clean


@dataclass(frozen=True)
class Found:
    """What a source has on disk, paths below the root in name order.

    Attributes:
        without_clean: degraded files whose clean file is missing.
        unlisted: names in the source's list without a file.
        left_out: files that match the source's glob, but not its pattern or list.
        clean: files in the clean folders, used or not.
    """

    pairs: tuple[Pair, ...]
    without_clean: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()
    clean: frozenset[str] = frozenset()


def find_pairs(source: Source, root: Path) -> Found:
    """Match a source's files. The path of a degraded file determines its clean file, never its position in a list.

    Raises ImageError where the source's list cannot be read.
    """
    if source.degraded is None:
        clean = sorted(set(_images(root, source.clean)))
        return Found(tuple(Pair(path, None) for path in clean), clean=frozenset(clean))
    fixed = _fixed_folders(source.degraded)
    degraded = sorted(_images(root, [source.degraded]))
    pattern, listed = re.compile(source.pattern), _listed(source, root)
    clean = frozenset(_images(root, [re.sub(r"{\w+}", "*", template) for template in source.clean]))
    pairs: list[Pair] = []
    orphans: list[str] = []
    left_out: set[str] = set()
    for path in degraded:
        name = path.removeprefix(fixed)
        match = pattern.fullmatch(name)
        if match is None or (listed is not None and name not in listed):
            left_out.add(path)
            continue
        candidates = (template.format(**match.groupdict()) for template in source.clean)
        partner = next((file for file in candidates if file in clean or (root / file).is_file()), None)
        if partner is None:
            orphans.append(path)
        else:
            pairs.append(Pair(partner, path))
    unlisted = sorted((listed or set()) - {path.removeprefix(fixed) for path in degraded})
    return Found(tuple(pairs), tuple(orphans), tuple(unlisted), frozenset(left_out), clean)


def _images(root: Path, patterns: Iterable[str]) -> list[str]:
    found = (path for pattern in patterns for path in glob.iglob(pattern, root_dir=root, recursive=True))
    return [path.replace(os.sep, "/") for path in found if names_image(path)]


def _fixed_folders(pattern: str) -> str:
    """The folders of a glob before its first wildcard, with a slash at the end; empty where there are none."""
    parts = pattern.split("/")
    first = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return "".join(f"{part}/" for part in parts[:first])


def _listed(source: Source, root: Path) -> set[str] | None:
    if source.listed is None:
        return None
    try:
        lines = (root / source.listed).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ImageError(f"source {source.name}: cannot read its list {root / source.listed}: {error}") from error
    return {line.strip() for line in lines if line.strip()}
