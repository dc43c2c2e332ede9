"""A plan -> an engine on the GPU and a context that runs it."""

from pathlib import Path

import torch

from lorair.errors import RuntimeUnavailableError
from lorair_export.bundle import Graph, Manifest
from lorair_export.errors import ExportError
from lorair_export.tensorrt.api import CudaEngine, ExecutionContext
from lorair_export.tensorrt.flavour import Flavour
from lorair_export.tensorrt.log import library_log
from lorair_export.tensorrt.runtime_cache import EngineCache


def engine_from_bundle(folder: Path, graph: Graph, manifest: Manifest, flavour: Flavour) -> CudaEngine:
    """A graph's engine on the current GPU, without its weights if they were stripped.

    RuntimeUnavailableError where TensorRT does not load it here.
    """
    plan, log = folder / graph.file, library_log(flavour.module)
    log.clear()
    runtime = flavour.module.Runtime(log)
    if manifest.engine_record.version_compatible:
        runtime.engine_host_code_allowed = True  # the plan brings the runtime of its own version
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise RuntimeUnavailableError(
            f"{plan.name} does not load with TensorRT {flavour.version} on {torch.cuda.get_device_name()}: "
            f"{log.text or 'no reason given'}. A plan runs on the library version it was built with, and on "
            "the GPUs it was built for; build it again here"
        )
    return engine


def refit(engine: CudaEngine, graph: Path, flavour: Flavour) -> None:
    """Put the weights of an ONNX graph into a stripped engine; ExportError where they do not fit."""
    trt, log = flavour.module, library_log(flavour.module)
    refitter = trt.Refitter(engine, log)
    if not (trt.OnnxParserRefitter(refitter, log).refit_from_file(str(graph)) and refitter.refit_cuda_engine()):
        raise ExportError(f"the weights of {graph.name} do not fit its stripped engine: {log.text}; build it again")


def execution_context(
    engine: CudaEngine, cache: EngineCache | None, graph: Graph, flavour: Flavour
) -> ExecutionContext:
    """A context with its activation memory; RuntimeUnavailableError where the GPU has too little."""
    log = library_log(flavour.module)
    log.clear()
    if cache is None:
        context = engine.create_execution_context()
    else:
        strategies = flavour.module.CudaGraphStrategy.__members__
        cache.config.cuda_graph_strategy = strategies["WHOLE_GRAPH_CAPTURE"]
        context = engine.create_execution_context(cache.config)
    if context is None:
        needed = f" (about {max(graph.activation_mib):.0f} MiB)" if graph.activation_mib else ""
        raise RuntimeUnavailableError(
            f"{graph.file} gets no memory on {torch.cuda.get_device_name()}{needed}: {log.text or 'no reason given'}. "
            "Free memory of the GPU, or build it with a smaller --max-shape"
        )
    return context
