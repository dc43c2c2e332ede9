"""Running TensorRT engines, with torch holding their tensors on the GPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from lorair.device import resolve_device
from lorair.errors import RuntimeUnavailableError
from lorair_export.bundle_runtime import BundleRuntime
from lorair_export.errors import ExportError
from lorair_export.flavour import Bound, Flavour, find_tensorrt, library_logger
from lorair_export.manifest import Graph, Manifest, Profile, named_runtime, read_bundle
from lorair_export.runtime_cache import RuntimeCache, runtime_cache


class EngineRuntime(BundleRuntime):
    """A bundle's engines; images go to the first profile that takes their shape."""

    name = "tensorrt"

    def __init__(self, folder: Path, manifest: Manifest, flavour: Flavour, device: torch.device) -> None:
        super().__init__(manifest)
        self.device = device
        with torch.cuda.device(device):
            # A context lives by its engine, so both are held.
            self.engines = {graph.name: deserialized(folder, graph, manifest, flavour) for graph in manifest.graphs}
            if manifest.engine.get("strip_weights"):
                for graph in manifest.graphs:
                    _refit(self.engines[graph.name], folder / graph.source, flavour)
            self.caches = {
                g.name: runtime_cache(folder / g.file, self.engines[g.name], flavour) for g in manifest.graphs
            }
            self.contexts = {name: _context(engine, self.caches[name]) for name, engine in self.engines.items()}
        self.stream = torch.cuda.Stream(device)

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a bundle's manifest names an engine as what to run."""
        return named_runtime(Path(target)) == cls.name

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "EngineRuntime":
        """Load the engines onto a GPU.

        Raises:
            RuntimeUnavailableError: no GPU, no TensorRT of the engine's flavour, or another GPU or version.
            ExportError: the bundle is damaged.
        """
        manifest = read_bundle(Path(target))
        resolved = resolve_device(device)
        if resolved.type != "cuda":
            raise RuntimeUnavailableError(
                f"{target} holds a TensorRT engine, which runs on an NVIDIA GPU and not on {resolved}; "
                f"name its graph instead: {Path(target) / manifest.graphs[0].source}"
            )
        return cls(Path(target), manifest, find_tensorrt(manifest.engine["flavour"]), resolved)

    def run(self, graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        shape = tuple(inputs["image"].shape)
        profile = profile_for(graph.profiles, shape)
        context = self.contexts[graph.name]
        with torch.cuda.stream(self.stream):
            held = {name: tensor.to(self.device) for name, tensor in inputs.items()}
            context.set_optimization_profile_async(profile, self.stream.cuda_stream)
            for name, tensor in held.items():
                context.set_input_shape(name, tuple(tensor.shape))
            for output in graph.outputs:
                size = tuple(context.get_tensor_shape(output.name))
                held[output.name] = torch.empty(size, dtype=getattr(torch, output.dtype), device=self.device)
            for name, tensor in held.items():
                context.set_tensor_address(name, tensor.data_ptr())
            if not context.execute_async_v3(self.stream.cuda_stream):
                raise ExportError(f"TensorRT failed on images of shape {shape}")
            outputs = {output.name: held[output.name].cpu() for output in graph.outputs}
        if (cache := self.caches[graph.name]) is not None:
            cache.keep(shape)
        return outputs


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


def _context(engine: Bound, cache: RuntimeCache | None) -> Bound:
    return engine.create_execution_context() if cache is None else engine.create_execution_context(cache.config)


def _text(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
