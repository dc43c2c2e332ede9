"""Measure how fast training batches are read, to choose the number of workers."""

import time
from pathlib import Path

from lorair.data.batches import loaded
from lorair.data.paired_batches import PairedBatches
from lorair.data.pairs import PairFolder
from lorair.data.windows import CropShapes
from lorair.settings import Setting


def reading_speed(
    setting: Setting, root: Path, batch_size: int = 16, crop: int = 256, batches: int = 20, workers: int = 1
) -> float:
    """Images per second of a setting's training batches, decoded, cut and as tensors, after one batch per worker.

    Args:
        setting: whose data is read.
        root: the folder that holds it.
        batch_size: images of a batch.
        crop: side of the square crops in pixels.
        batches: how many are timed.
        workers: processes that prepare batches, 0 for this one.

    Raises:
        ImageError: images are missing or cannot be read.
    """
    warmup = max(1, workers)
    folder, shapes = PairFolder(root, setting.train), CropShapes(crop, crop)
    steps = PairedBatches(folder, setting.experts, shapes, batch_size, batches + warmup, seed=0)
    stream = loaded(steps, 0, workers)
    for _ in range(warmup):
        next(stream)
    started = time.perf_counter()
    images = sum(len(batch.labels) for batch in stream)
    return images / (time.perf_counter() - started)
