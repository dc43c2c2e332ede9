"""Plan inputs and outputs: files, folders and patterns -> pairs of paths."""

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from lorair.images import FORMATS, WRITABLE, format_of, list_images, names_image

DEFAULT_SUFFIX = "_restored"


@dataclass(frozen=True)
class Job:
    """An image file and the file that its restoration goes to."""

    source: Path
    target: Path


def plan_jobs(
    inputs: Sequence[str],
    output: Path | None = None,
    recursive: bool = False,
    suffix: str | None = None,
    extension: str = "auto",
) -> list[Job]:
    """Plan every output before anything is restored.

    A found file that is the output of another one is an earlier result and left out, so that the same command
    can be repeated over a folder that holds its results.

    Args:
        inputs: image files, folders, and patterns such as `photos/**/*.jpg`.
        output: a folder, which keeps the structure below each input; an image file, for a single input; or
            None for files next to the inputs.
        recursive: whether folders are searched below their first level.
        suffix: added to each name before its extension; None adds `_restored` next to the inputs and nothing
            in a folder.
        extension: of the outputs, "auto" for that of each input, or png where that is not written.

    Raises:
        ValueError: an input does not exist, two outputs are the same file, or an output is its own input.
    """
    images = (image for entry in inputs for image in _find(entry, recursive))
    found = {source.resolve(): (source, below) for source, below in images}
    if not found:
        raise ValueError(f"no images ({', '.join(FORMATS)}) in {', '.join(inputs)}")
    if output is not None and output.suffix.lower() in FORMATS and not output.is_dir():
        if len(found) > 1 or suffix is not None or extension != "auto":
            raise ValueError(f"{output} is a file: give one input without suffix and extension, or a folder")
        format_of(output)
        return _checked([Job(source, output) for source, _ in found.values()])
    if suffix is None:
        suffix = DEFAULT_SUFFIX if output is None else ""
    jobs = []
    for source, below in found.values():
        place = source if output is None else output / below
        jobs.append(Job(source, place.with_name(_name(source, suffix, extension))))
    return _checked(jobs)


def _find(entry: str, recursive: bool) -> Iterator[tuple[Path, Path]]:
    """Image files of an input, and their paths below it."""
    path = Path(entry)
    if path.is_file():
        yield path, Path(path.name)
        return
    if path.is_dir():
        yield from ((file, file.relative_to(path)) for file in list_images(path, recursive))
    elif glob.has_magic(entry):
        root = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
        for file in sorted(map(Path, glob.iglob(entry, recursive=True))):
            if names_image(file) and file.is_file():
                yield file, file.relative_to(root)
    else:
        raise ValueError(f"{entry}: no such file, folder or pattern")


def _name(source: Path, suffix: str, extension: str) -> str:
    ending = source.suffix if extension == "auto" else f".{extension.removeprefix('.')}"
    if extension == "auto" and names_image(source) and ending.lower() not in WRITABLE:
        ending = ".png"
    if ending.lower() not in WRITABLE:
        known = ", ".join(name.removeprefix(".") for name in WRITABLE)
        raise ValueError(f"{source}: {ending or 'no extension'} is not an output format; choose --ext from {known}")
    return f"{source.stem}{suffix}{ending}"


def _checked(jobs: list[Job]) -> list[Job]:
    targets = Counter(job.target.resolve() for job in jobs)
    for job in jobs:
        if job.source.resolve() == job.target.resolve():
            raise ValueError(f"{job.source} would be overwritten; choose another output folder or a suffix")
        if targets[job.target.resolve()] > 1:
            same = [str(other.source) for other in jobs if other.target.resolve() == job.target.resolve()]
            raise ValueError(f"{' and '.join(same)} would both be written to {job.target}")
    return [job for job in jobs if job.source.resolve() not in targets]
