"""Times of single calls on a GPU, and the ceilings that they are compared with."""

from collections.abc import Callable, Mapping
from statistics import quantiles

import torch

from lorair_kernels.benchmarks.case import Form, Output
from lorair_kernels.benchmarks.work import Ceilings

ROUNDS = 3
ROUND_MS = 60


def ready(form: Form) -> Callable[[], Output]:
    """The form's call as it is timed; no Python runs inside a CUDA graph."""

    def call() -> Output:
        return form.call(*form.arguments)

    if form.through in ("launches", "own graphs"):
        return call
    if form.through == "graph":
        return captured(call)
    torch.compiler.reset()
    if form.through == "max-autotune":  # captures CUDA graphs itself
        tuned = torch.compile(form.call, mode="max-autotune", dynamic=False)
        return lambda: tuned(*form.arguments)
    compiled = torch.compile(form.call, dynamic=False)
    return captured(lambda: compiled(*form.arguments))


def captured(call: Callable[[], Output]) -> Callable[[], Output]:
    """The call as a CUDA graph; capturing fails if anything in it synchronises with the host."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = call()

    def replay() -> Output:
        graph.replay()
        return output

    return replay


def interleaved(runs: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Milliseconds of single calls by CUDA events, the L2 cache flushed before each; forms in turn, ROUNDS times."""
    from triton.testing import do_bench

    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            taken = do_bench(run, warmup=ROUND_MS // 4, rep=ROUND_MS, return_mode="all")
            assert isinstance(taken, list)
            times[name] += taken
    return times


def times_at(times: list[float], percent: int) -> float:
    """A percentile of at least two times, interpolated linearly."""
    return quantiles(times, n=100, method="inclusive")[percent - 1]


def measured_ceilings() -> Ceilings:
    """This GPU's ceilings: a copy of 1 GiB, and a bf16 product of 8192 x 8192 matrices."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    left, right = torch.randn(2, 8192, 8192, dtype=torch.bfloat16, device="cuda").unbind()
    times = interleaved({"copy": lambda: target.copy_(source), "product": lambda: left @ right})
    copy_ms, product_ms = times_at(times["copy"], 50), times_at(times["product"], 50)
    return Ceilings(gbs=2 * source.numel() / copy_ms / 1e6, tflops=2 * 8192**3 / product_ms / 1e9)
