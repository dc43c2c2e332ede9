"""An engine on the GPU: its context, its tensors at each shape, its CUDA graph."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lorair.errors import RuntimeUnavailableError
from lorair_export.bundle import Graph, Manifest, Profile
from lorair_export.errors import ExportError
from lorair_export.tensorrt.flavour import Bound, Flavour, library_logger
from lorair_export.tensorrt.runtime_cache import RuntimeCache, runtime_cache

# Of how many sets of input shapes the tensors are kept.
KEPT_SHAPES = 4

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Buffers:
    """Inputs and outputs by name: where the engine reads and writes them, and pinned in host memory."""

    device: dict[str, Tensor]
    host: dict[str, Tensor]


class LoadedEngine:
    """A graph's engine, run on a stream of its own.

    Tensors stay where they are while a shape is in use, which CUDA graphs need. TensorRT-RTX records those itself; an
    engine of classic TensorRT that takes one shape alone is recorded after its first run. One that takes several is
    launched anew each time: to set its context to another shape would make a recording of it invalid.
    """

    def __init__(self, folder: Path, graph: Graph, manifest: Manifest, flavour: Flavour, device: torch.device) -> None:
        self.graph, self.device = graph, device
        with torch.cuda.device(device):
            self.engine = deserialized(folder, graph, manifest, flavour)  # held, for a context lives by its engine
            if manifest.engine.get("strip_weights"):
                _refit(self.engine, folder / graph.source, flavour)
            self.cache = runtime_cache(folder / graph.file, self.engine, flavour)
            self.context = _context(self.engine, self.cache, graph, flavour)
        self.stream = torch.cuda.Stream(device)
        self.records = self.cache is None and graph.shape is not None and graph.fixed_batch is not None
        self.recorded: torch.cuda.CUDAGraph | None = None
        self.buffers: OrderedDict[Shapes, Buffers] = OrderedDict()
        self.shapes: Shapes | None = None

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One call with inputs of types and shapes that the graph takes -> its outputs, on the CPU.

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
    """The index of the first profile whose bounds hold a shape; ValueError tells the bounds where none does."""
    for index, profile in enumerate(profiles):
        if all(low <= size <= high for low, size, high in zip(profile.min, shape, profile.max, strict=True)):
            return index
    bounds = ", ".join(f"{_text(profile.min)} to {_text(profile.max)}" for profile in profiles)
    raise ValueError(
        f"the engine takes images of {bounds}; got {_text(shape)}. Restore in tiles (--tile), or build it with "
        "other --min-shape and --max-shape"
    )


def deserialized(folder: Path, graph: Graph, manifest: Manifest, flavour: Flavour) -> Bound:
    """A graph's engine on the current GPU, without its weights if they were stripped.

    RuntimeUnavailableError where TensorRT does not load it here.
    """
    plan, log = folder / graph.file, library_logger(flavour.module)
    log.clear()
    runtime = flavour.module.Runtime(log)
    if manifest.engine.get("version_compatible"):
        runtime.engine_host_code_allowed = True  # the plan brings the runtime of its own version
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise RuntimeUnavailableError(
            f"{plan.name} does not load with TensorRT {flavour.version} on {torch.cuda.get_device_name()}: "
            f"{log.told() or 'no reason told'}. A plan runs on the library version it was built with, and on "
            "the GPUs it was built for; build it again here"
        )
    return engine


def _refit(engine: Bound, graph: Path, flavour: Flavour) -> None:
    """Put the weights of an ONNX graph into a stripped engine; ExportError where they do not fit."""
    trt, log = flavour.module, library_logger(flavour.module)
    refitter = trt.Refitter(engine, log)
    if not (trt.OnnxParserRefitter(refitter, log).refit_from_file(str(graph)) and refitter.refit_cuda_engine()):
        raise ExportError(
            f"the weights of {graph.name} do not go into its stripped engine: {log.told()}; build it anew"
        )


def _context(engine: Bound, cache: RuntimeCache | None, graph: Graph, flavour: Flavour) -> Bound:
    log = library_logger(flavour.module)
    log.clear()
    if cache is None:
        context = engine.create_execution_context()
    else:
        cache.config.cuda_graph_strategy = flavour.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        context = engine.create_execution_context(cache.config)
    if context is None:
        needed = f" (about {max(graph.activation_mib):.0f} MiB)" if graph.activation_mib else ""
        raise RuntimeUnavailableError(
            f"{graph.file} gets no memory on {torch.cuda.get_device_name()}{needed}: {log.told() or 'no reason told'}. "
            "Free memory of the GPU, or build it with a smaller --max-shape"
        )
    return context


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
