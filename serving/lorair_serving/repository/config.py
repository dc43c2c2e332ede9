"""Model configurations for Triton, built and checked as its own protobuf messages."""

from typing import TYPE_CHECKING, Any

from lorair_export.extras import require

from lorair_serving.repository.service import SERVICE, ServedModel

if TYPE_CHECKING:
    from lorair_export.bundle import Manifest, TensorSpec

FRONT, ROUTER, RESTORER = "lorair", "router", "restorer"

Message = Any  # messages of a .proto have no static types


def front_config(model: ServedModel) -> Message:
    """In front: an image of any size in, as a file's bytes or as pixels, and out as it came."""
    config = _python_config(FRONT, model)
    _add(config.input, "encoded", "UINT8", [-1], optional=True)
    _add(config.input, "pixels", "UINT8", [-1, -1, -1], optional=True)
    _add(config.output, "restored_encoded", "UINT8", [-1])
    _add(config.output, "restored_pixels", "UINT8", [-1, -1, -1])
    _add(config.output, "degradation", "STRING", [1])
    _add(config.output, "gates", "FP32", [len(model.degradations)])
    return config


def router_config(model: ServedModel) -> Message:
    """Five views of an image in, gates and prior out; the views of several images share a batch."""
    config = _python_config(ROUTER, model)
    assert model.view_size is not None
    _add(config.input, "views", "FP32", [5, 3, model.view_size, model.view_size])
    _add(config.output, "gates", "FP32", [len(model.degradations)])
    _add(config.output, "prior", "FP32", [model.prior_dim])
    _batch(config, model.service.max_batch, model)
    return config


def restorer_config(model: ServedModel) -> Message:
    """Tiles in, restored tiles out, run by lorair's own runtimes; tiles of several images share a batch."""
    config = _python_config(RESTORER, model, model.service.instances or 1)
    tile = [3, model.service.tile, model.service.tile]
    _add(config.input, "image", "FP32", tile)
    _add(config.output, "restored", "FP32", tile)
    if model.view_size is None:
        _add(config.output, "gates", "FP32", [len(model.degradations)])
    else:
        _add(config.input, "gates", "FP32", [len(model.degradations)])
        _add(config.input, "prior", "FP32", [model.prior_dim])
    _batch(config, model.service.max_batch, model)
    return config


def artefact_config(model: ServedModel, manifest: "Manifest", backend: str) -> Message:
    """The restorer of a bundle, run by Triton's own backend ("onnxruntime" or "tensorrt").

    ValueError where Triton does not load its engine.
    """
    engine = manifest.engine
    if engine is not None and engine.flavour == "rtx":
        raise ValueError("Triton loads engines of classic TensorRT, not of TensorRT-RTX; build with --backend tensorrt")
    if engine is not None and engine.strip_weights:
        raise ValueError("Triton puts no weights into a stripped engine; build one without --strip-weights")
    config = _config(RESTORER)
    config.backend = backend
    config.default_model_filename = model.artefact
    graph = manifest.one_graph
    batched = graph.fixed_batch is None
    _add_tensors(config.input, graph.inputs, batched)
    _add_tensors(config.output, graph.outputs, batched)
    tile = model.service.tile
    profiles = {str(i): profile for i, profile in enumerate(graph.profiles) if profile.takes(tile, tile)}
    if batched:
        most = max((profile.max[0] for profile in profiles.values()), default=manifest.max_batch)
        _batch(config, min(model.service.max_batch, most), model)
    on_cpu = model.service.device == "cpu"
    kind = "KIND_CPU" if on_cpu else "KIND_AUTO"
    config.instance_group.add(count=model.service.instances or 1, kind=kind, profile=profiles)
    if backend == "tensorrt":
        config.parameters["tensorrt_version"].string_value = manifest.engine_record.version
        _record_graphs(config, model)
    return config


def to_text(config: Message) -> str:
    """config.pbtxt of a message."""
    return require("google.protobuf.text_format", "serving").MessageToString(config)


def from_text(text: str) -> Message:
    """The message of a config.pbtxt; google.protobuf's ParseError where it breaks the schema."""
    config = require("tritonclient.grpc.model_config_pb2", "serving").ModelConfig()
    return require("google.protobuf.text_format", "serving").Parse(text, config)


def _config(name: str) -> Message:
    config = require("tritonclient.grpc.model_config_pb2", "serving").ModelConfig()
    config.name = name
    config.version_policy.latest.num_versions = 1
    return config


def _python_config(name: str, model: ServedModel, instances: int = 1) -> Message:
    config = _config(name)
    config.backend = "python"
    config.parameters[SERVICE].string_value = model.to_json()
    config.instance_group.add(count=instances, kind="KIND_CPU")  # processes; their runtime takes the GPU by itself
    return config


def _batch(config: Message, max_batch: int, model: ServedModel) -> None:
    """Batch equal shapes as they come, refuse what the queue has no room for, and be warm before being ready."""
    config.max_batch_size = max_batch
    batching = config.dynamic_batching
    batching.max_queue_delay_microseconds = round(1000 * model.service.batch_delay_ms)
    batching.default_queue_policy.max_queue_size = 16 * model.service.max_waiting
    if model.service.cache_mib:
        config.response_cache.enable = True
    for batch in sorted({1, max_batch}):
        warmup = config.model_warmup.add(name=f"batch of {batch}", batch_size=batch)
        for tensor in config.input:
            dims = [model.service.tile if size < 0 else size for size in tensor.dims]
            data = warmup.inputs[tensor.name]
            data.data_type, data.zero_data = tensor.data_type, True
            data.dims.extend(dims)


def _record_graphs(config: Message, model: ServedModel) -> None:
    """One CUDA graph per batch size of a tile, recorded when the model is loaded, as TensorRT's backend does."""
    cuda = config.optimization.cuda
    cuda.graphs = True
    for batch in range(1, config.max_batch_size + 1):
        graph = cuda.graph_spec.add(batch_size=batch)
        for tensor in config.input:
            graph.input[tensor.name].dim.extend(model.service.tile if size < 0 else size for size in tensor.dims)


def _add_tensors(tensors: Message, specs: "tuple[TensorSpec, ...]", batched: bool) -> None:
    """Names, types and sizes of a graph, its batch dimension left to Triton where that batches."""
    kinds = {"float32": "FP32", "float16": "FP16", "uint8": "UINT8", "int64": "INT64"}
    for spec in specs:
        dims = [-1 if isinstance(size, str) else size for size in spec.shape]
        _add(tensors, spec.name, kinds[spec.dtype], dims[1:] if batched else dims)


def _add(tensors: Message, name: str, kind: str, dims: list[int], optional: bool = False) -> None:
    tensor = tensors.add(name=name, data_type=f"TYPE_{kind}", dims=dims)
    if optional:
        tensor.optional = True
