"""Calls on the GPU replayed as CUDA graphs, one for each set of input shapes."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

Call = Callable[..., Tensor]


class GraphedCalls:
    """A function of CUDA tensors whose launches are recorded once per set of shapes and then replayed.

    The first call of a set runs the function itself, which compiles what it needs, so that sizes that never return
    are not recorded; the second records. The `keep` sets used last are kept. The function must not read values
    back from the GPU, and all else that it reads must stay where it is. On other devices it is called directly.
    """

    def __init__(self, function: Call, keep: int = 8) -> None:
        self._function = function
        self._keep = keep
        self._replays: OrderedDict[object, Call | None] = OrderedDict()
        self._pool = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        if not all(x.is_cuda for x in inputs):
            return self._function(*inputs)
        key = tuple((x.shape, x.dtype, x.device) for x in inputs)
        if key not in self._replays:
            call, self._replays[key] = self._function, None
        else:
            call = self._replays[key] or self._record(inputs)
            self._replays[key] = call
        self._replays.move_to_end(key)
        if len(self._replays) > self._keep:
            self._replays.popitem(last=False)
        return call(*inputs)

    def _record(self, inputs: tuple[Tensor, ...]) -> Call:
        """The function for inputs of these shapes, as a graph; all graphs share one pool of memory."""
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        with torch.inference_mode(False):  # an inference tensor could not be written to outside inference mode
            places = [torch.empty_like(x).copy_(x) for x in inputs]
        self._function(*places)  # a kernel is compiled anew for other alignments, which a recording does not allow
        graph = torch.cuda.CUDAGraph()
        # Other threads may allocate meanwhile: a server's decode the next images.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = self._function(*places)

        def replay(*inputs: Tensor) -> Tensor:
            for place, x in zip(places, inputs, strict=True):
                place.copy_(x)
            graph.replay()
            return result.clone()

        return replay
