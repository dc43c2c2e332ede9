"""Restoring files: threads decode and encode while the runtime works, and every file gets a record."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from lorair.errors import LorairError
from lorair.images import FORMATS_16BIT, Picture, format_of, read_image, write_image
from lorair.inference.file_record import FileRecord
from lorair.inference.jobs import Job
from lorair.inference.restoration import Restoration, restore_picture, usable_tile
from lorair.inference.runtime import Runtime


@dataclass(frozen=True)
class _Step:
    """A file between two stages: its record if nothing fails from here on, and its pixels, None once it is settled."""

    record: FileRecord
    picture: Picture | None = None


def restore_files(
    runtime: Runtime,
    jobs: Sequence[Job],
    degradation: str | None = None,
    tile: int | None = None,
    overlap: int = 32,
    overwrite: bool = False,
    workers: int = 4,
    on_record: Callable[[FileRecord], None] = lambda record: None,
) -> list[FileRecord]:
    """Restore files; one that fails does not stop the others.

    A file whose output exists is skipped unless `overwrite` is set. As outputs appear whole or not at all,
    repeating an interrupted run completes it.

    Args:
        runtime: what runs the model; called from this thread only.
        jobs: as `plan_jobs` gives them.
        degradation: a name of `runtime.degradations`, or None to route each image.
        tile: side in pixels of overlapping tiles, None for whole images where the runtime takes them.
        overlap: pixels over which neighbouring tiles blend.
        overwrite: whether files whose outputs exist are restored again.
        workers: threads that decode and encode; as many images are read ahead.
        on_record: called with each record, in the order of the jobs.

    Raises:
        ValueError: the degradation or the tiles are not what the runtime takes; no file has been read or written.
    """
    tile = usable_tile(runtime, tile, overlap)
    pinned = None if degradation is None else runtime.pin(degradation, 1)
    read = partial(_attempt, partial(_read, overwrite=overwrite))
    restore = partial(_restore, lambda picture: restore_picture(runtime, picture, pinned, tile, overlap))
    records: list[FileRecord] = []

    def finish(writing: Future[_Step]) -> None:
        records.append(writing.result().record)
        on_record(records[-1])

    pool = ThreadPoolExecutor(workers)
    unfinished: deque[Future[_Step]] = deque()
    try:
        steps = (_Step(FileRecord(job.source, job.target, "restored")) for job in jobs)
        for step in _ahead(pool, read, steps, workers):
            unfinished.append(pool.submit(_attempt, _write, _attempt(restore, step)))
            while unfinished and (unfinished[0].done() or len(unfinished) > workers):
                finish(unfinished.popleft())
        for writing in unfinished:
            finish(writing)
    finally:
        pool.shutdown(cancel_futures=True)
    return records


def _ahead(
    pool: ThreadPoolExecutor, stage: Callable[[_Step], _Step], steps: Iterable[_Step], count: int
) -> Iterator[_Step]:
    """The stage's results in order, up to `count` of them computed ahead."""
    running: deque[Future[_Step]] = deque()
    for step in steps:
        running.append(pool.submit(stage, step))
        if len(running) > count:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


def _attempt(stage: Callable[[_Step], _Step], step: _Step) -> _Step:
    """Take a step; any error is only this file's failure."""
    try:
        return stage(step)
    except Exception as error:
        explains_itself = isinstance(error, (LorairError, OSError))
        reason = str(error) if explains_itself else f"{type(error).__name__}: {error}"
        return _Step(replace(step.record, status="failed", reason=reason))


def _read(step: _Step, overwrite: bool) -> _Step:
    if step.record.target.exists() and not overwrite:
        return _Step(replace(step.record, status="skipped", reason="its output exists"))
    return replace(step, picture=read_image(step.record.source))


def _restore(restore: Callable[[Picture], Restoration], step: _Step) -> _Step:
    if step.picture is None:
        return step
    start = time.perf_counter()
    restoration = restore(step.picture)
    record = replace(
        step.record,
        degradation=restoration.degradation,
        gates=restoration.gates,
        seconds=round(time.perf_counter() - start, 4),
        notes=restoration.notes + _lost_in_format(step.picture, step.record.target),
    )
    return _Step(record, restoration.picture)


def _write(step: _Step) -> _Step:
    if step.picture is None:
        return step
    step.record.target.parent.mkdir(parents=True, exist_ok=True)
    write_image(step.record.target, step.picture)
    return _Step(step.record)


def _lost_in_format(picture: Picture, target: Path) -> tuple[str, ...]:
    kind = format_of(target)
    if picture.pixels.dtype == np.uint16 and kind not in FORMATS_16BIT:
        return (f"{kind} holds 8 bits: the 16 bits of the input are rounded",)
    return ()
