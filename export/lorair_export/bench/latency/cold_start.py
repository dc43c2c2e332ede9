"""Start-up times and peak memory of a model, measured in a fresh process."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from lorair.inference import open_runtime
from lorair.model import Routing
from lorair.system import peak_rss_mib
from lorair_export.bench.latency.cases import Batch, Part, outputs_of
from lorair_export.errors import ExportError

# Arrays are copied to the other process; tensors would share memory, which a container may have little of.
Arrays = list[NDArray[np.float32]]


@dataclass(frozen=True)
class ColdStart:
    """Loading and the first call in ms, the CUDA start-up in the first of them that needs it.

    Peaks in MiB: resident memory (None where the system keeps no account), and of torch's CUDA allocator (None without
    a GPU; libraries with an allocator of their own are not seen).
    """

    load_ms: float
    first_call_ms: float
    peak_rss_mib: float | None
    peak_cuda_mib: float | None


def cold_start(target: str, device: str, batch: Batch, part: Part = Part.ALL) -> ColdStart:
    """Start `target` in a fresh process and call it once. ExportError where that process dies."""
    tensors = [batch.images] if batch.routing is None else [batch.images, batch.routing.gates, batch.routing.prior]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_start, target, device, [tensor.numpy() for tensor in tensors], part).result()
        except BrokenProcessPool as error:
            shape = "x".join(map(str, batch.images.shape))
            raise ExportError(
                f"{target}: a fresh process died restoring {shape}, probably out of memory; "
                "choose a smaller --size or --batch"
            ) from error


def _start(target: str, device: str, arrays: Arrays, part: Part) -> ColdStart:
    images, *routing = (torch.from_numpy(array) for array in arrays)
    batch = Batch(images, Routing(None, *routing) if routing else None)
    began = perf_counter()
    runtime = open_runtime(target, device)
    loaded = perf_counter()
    outputs_of(runtime, batch, part)
    called = perf_counter()
    cuda = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    return ColdStart(1000 * (loaded - began), 1000 * (called - loaded), peak_rss_mib(), cuda)
