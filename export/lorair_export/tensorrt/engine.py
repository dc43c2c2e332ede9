"""An engine on the GPU: its context, its tensors at each shape, its CUDA graph."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from lorair_export.bundle import Graph, Manifest, Profile
from lorair_export.errors import ExportError
from lorair_export.tensorrt.flavour import Flavour
from lorair_export.tensorrt.loading import engine_from_bundle, execution_context, refit
from lorair_export.tensorrt.runtime_cache import runtime_cache

# How many sets of input shapes keep their tensors.
KEPT_SHAPES: Final = 4

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Buffers:
    """Inputs and outputs by name: where the engine reads and writes them, and pinned in host memory."""

    device: dict[str, Tensor]
    host: dict[str, Tensor]


class LoadedEngine:
    """A graph's engine, run on a stream of its own.

    Tensors stay where they are while a shape is in use, which CUDA graphs need. TensorRT-RTX records those itself; an
    engine of classic TensorRT that takes only one shape is recorded after its first run. One that takes several is
    launched anew each time: setting its context to another shape would make a recording of it invalid.
    """

    def __init__(self, folder: Path, graph: Graph, manifest: Manifest, flavour: Flavour, device: torch.device) -> None:
        self.graph, self.device = graph, device
        with torch.cuda.device(device):
            self.engine = engine_from_bundle(folder, graph, manifest, flavour)  # a context needs it
            if manifest.engine_record.strip_weights:
                refit(self.engine, folder / graph.source, flavour)
            self.cache = runtime_cache(folder / graph.file, self.engine, flavour)
            self.context = execution_context(self.engine, self.cache, graph, flavour)
        self.stream = torch.cuda.Stream(device)
        self.records = self.cache is None and graph.shape is not None and graph.fixed_batch is not None
        self.recorded: torch.cuda.CUDAGraph | None = None
        self.buffers: OrderedDict[Shapes, Buffers] = OrderedDict()
        self.shapes: Shapes | None = None

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One call with inputs of dtypes and shapes that the graph takes -> its outputs by name, on the CPU.

        ValueError where no profile takes the shape; ExportError where TensorRT fails.
        """
        inputs = {name: tensor.cpu() for name, tensor in inputs.items()}
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in inputs.items())
        with torch.cuda.stream(self.stream):
            held = self._set_to(shapes)
            for name, tensor in inputs.items():
                held.host[name].copy_(tensor)
                held.device[name].copy_(held.host[name], non_blocking=True)
            self._launch()
            names = [output.name for output in self.graph.outputs]
            for name in names:
                held.host[name].copy_(held.device[name], non_blocking=True)
            self.stream.synchronize()
        if self.cache is not None:
            self.cache.keep(tuple(inputs["image"].shape))
        return {name: held.host[name].clone() for name in names}

    def _set_to(self, shapes: Shapes) -> Buffers:
        """The buffers of these input shapes, with the context set to both."""
        if shapes == self.shapes:
            return self.buffers[shapes]
        profile = profile_for(self.graph.profiles, dict(shapes)["image"])
        self.shapes = None  # until all is set
        self.context.set_optimization_profile_async(profile, self.stream.cuda_stream)
        for name, shape in shapes:
            self.context.set_input_shape(name, shape)
        held = self.buffers.get(shapes) or self._allocated(dict(shapes))
        for name, tensor in held.device.items():
            self.context.set_tensor_address(name, tensor.data_ptr())
        self.buffers[shapes] = held
        self.buffers.move_to_end(shapes)
        if len(self.buffers) > KEPT_SHAPES:
            self.buffers.popitem(last=False)
        self.shapes = shapes
        return held

    def _allocated(self, sizes: Mapping[str, tuple[int, ...]]) -> Buffers:
        """Buffers of the input shapes that the context is set to."""
        device: dict[str, Tensor] = {}
        host: dict[str, Tensor] = {}
        with torch.inference_mode(False):  # an inference tensor could not be written to outside inference mode
            for spec in (*self.graph.inputs, *self.graph.outputs):
                size = sizes.get(spec.name) or tuple(self.context.get_tensor_shape(spec.name))
                dtype = getattr(torch, spec.dtype)
                device[spec.name] = torch.empty(size, dtype=dtype, device=self.device)
                host[spec.name] = torch.empty(size, dtype=dtype, pin_memory=self.device.type == "cuda")
        return Buffers(device, host)

    def _launch(self) -> None:
        if self.recorded is not None:
            self.recorded.replay()
            return
        self._execute()
        if self.records:  # only now: the first run of a shape does work that a recording does not allow
            recorded = torch.cuda.CUDAGraph()
            # Other threads may allocate meanwhile: those that decode the next images.
            with torch.cuda.graph(recorded, stream=self.stream, capture_error_mode="thread_local"):
                self._execute()
            self.recorded = recorded

    def _execute(self) -> None:
        if not self.context.execute_async_v3(self.stream.cuda_stream):
            raise ExportError(f"TensorRT failed on inputs {dict(self.shapes or ())}")


def profile_for(profiles: Sequence[Profile], shape: tuple[int, ...]) -> int:
    """The index of the first profile whose bounds hold a shape; ValueError with the bounds where none does."""
    for index, profile in enumerate(profiles):
        if all(low <= size <= high for low, size, high in zip(profile.min, shape, profile.max, strict=True)):
            return index
    bounds = ", ".join(f"{_text(profile.min)} to {_text(profile.max)}" for profile in profiles)
    raise ValueError(
        f"the engine takes images of {bounds}; got {_text(shape)}. Restore in tiles (--tile), or build it with "
        "other --min-shape and --max-shape"
    )


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
