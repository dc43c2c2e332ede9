"""What only a fresh process tells of a model: its start, and the most memory it holds."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from time import perf_counter

import torch

from lorair.machine import peak_rss_mib
from lorair.runtime import open_runtime
from lorair_export.errors import ExportError
from lorair_export.latency import Case, case_batches


@dataclass(frozen=True)
class ColdStart:
    """Loading and the first call in ms, the CUDA start-up in the first of them that needs it.

    Peaks in MiB: resident memory (None where the system keeps no account), and what torch's CUDA allocator
    held (None without a GPU; libraries with an allocator of their own are not seen).
    """

    load_ms: float
    first_call_ms: float
    peak_rss_mib: float | None
    peak_cuda_mib: float | None


def cold_start(target: str, device: str, case: Case) -> ColdStart:
    """Start ``target`` in a fresh process and call it once. ExportError where that process dies."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_start, target, device, case).result()
        except BrokenProcessPool as error:
            raise ExportError(
                f"{target}: a fresh process died restoring {case}, probably out of memory; "
                "choose a smaller --size or --batch"
            ) from error


def _start(target: str, device: str, case: Case) -> ColdStart:
    images = case_batches(case)[0]
    began = perf_counter()
    runtime = open_runtime(target, device)
    loaded = perf_counter()
    runtime.restore(images, None)
    called = perf_counter()
    cuda = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    return ColdStart(1000 * (loaded - began), 1000 * (called - loaded), peak_rss_mib(), cuda)
