"""Model configurations for Triton, as plain data in the form of its protobuf message."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lorair_serving.repository.protobuf import Config
from lorair_serving.repository.settings import SERVICE, ServedModel

if TYPE_CHECKING:
    from lorair_export.bundle import Manifest, TensorSpec

FRONT, ROUTER, RESTORER = "lorair", "router", "restorer"
_TRITON_TYPES = {"float32": "FP32", "float16": "FP16", "uint8": "UINT8", "int64": "INT64"}

Fields = dict[str, Any]


def front_config(model: ServedModel) -> Config:
    """In front: an image of any size in, as a file's bytes or as pixels, and out as it came."""
    return {
        **_python_config(FRONT, model),
        "input": [
            {**_tensor("encoded", "UINT8", [-1]), "optional": True},
            {**_tensor("pixels", "UINT8", [-1, -1, -1]), "optional": True},
        ],
        "output": [
            _tensor("restored_encoded", "UINT8", [-1]),
            _tensor("restored_pixels", "UINT8", [-1, -1, -1]),
            _tensor("degradation", "STRING", [1]),
            _tensor("gates", "FP32", [len(model.degradations)]),
        ],
    }


def router_config(model: ServedModel) -> Config:
    """Five views of an image in, gates and prior out; the views of several images share a batch."""
    assert model.view_size is not None
    inputs = [_tensor("views", "FP32", [5, 3, model.view_size, model.view_size])]
    return {
        **_python_config(ROUTER, model),
        "input": inputs,
        "output": [_tensor("gates", "FP32", [len(model.degradations)]), _tensor("prior", "FP32", [model.prior_dim])],
        **_batching(model, model.service.max_batch, inputs),
    }


def restorer_config(model: ServedModel) -> Config:
    """Tiles in, restored tiles out, run by lorair's own runtimes; tiles of several images share a batch."""
    tile = [3, model.service.tile, model.service.tile]
    gates = _tensor("gates", "FP32", [len(model.degradations)])
    inputs, outputs = [_tensor("image", "FP32", tile)], [_tensor("restored", "FP32", tile)]
    if model.view_size is None:
        outputs.append(gates)
    else:
        inputs += [gates, _tensor("prior", "FP32", [model.prior_dim])]
    return {
        **_python_config(RESTORER, model, model.service.instances or 1),
        "input": inputs,
        "output": outputs,
        **_batching(model, model.service.max_batch, inputs),
    }


def artefact_config(model: ServedModel, manifest: "Manifest", backend: str) -> Config:
    """The restorer of a bundle, run by Triton's own backend ("onnxruntime" or "tensorrt").

    ValueError where Triton does not load its engine.
    """
    engine = manifest.engine
    if engine is not None and engine.flavour == "rtx":
        raise ValueError("Triton loads engines of classic TensorRT, not of TensorRT-RTX; build with --backend tensorrt")
    if engine is not None and engine.strip_weights:
        raise ValueError("Triton does not refit a stripped engine; build one without --strip-weights")
    graph, tile = manifest.one_graph, model.service.tile
    batched = graph.fixed_batch is None
    inputs = _tensors(graph.inputs, batched)
    profiles = {str(i): profile for i, profile in enumerate(graph.profiles) if profile.takes(tile, tile)}
    kind = "KIND_CPU" if model.service.device == "cpu" else "KIND_AUTO"
    config: Fields = {
        **_named(RESTORER),
        "backend": backend,
        "default_model_filename": model.artefact,
        "input": inputs,
        "output": _tensors(graph.outputs, batched),
        "instance_group": [{"count": model.service.instances or 1, "kind": kind, "profile": list(profiles)}],
    }
    most = 0
    if batched:
        largest = max((profile.max[0] for profile in profiles.values()), default=manifest.max_batch)
        most = min(model.service.max_batch, largest)
        config |= _batching(model, most, inputs)
    if backend == "tensorrt":
        config["parameters"] = {"tensorrt_version": {"string_value": manifest.engine_record.version}}
        config["optimization"] = {"cuda": _cuda_graphs(model, most, inputs)}
    return config


def _named(name: str) -> Fields:
    return {"name": name, "version_policy": {"latest": {"num_versions": 1}}}


def _python_config(name: str, model: ServedModel, instances: int = 1) -> Fields:
    return {
        **_named(name),
        "backend": "python",
        "parameters": {SERVICE: {"string_value": model.to_json()}},
        # An instance is a process; its runtime takes the GPU by itself.
        "instance_group": [{"count": instances, "kind": "KIND_CPU"}],
    }


def _batching(model: ServedModel, max_batch: int, inputs: Sequence[Fields]) -> Fields:
    """Batch equal shapes as they come, reject what exceeds the queue, and be warm before being ready."""
    service = model.service
    fields: Fields = {
        "max_batch_size": max_batch,
        "dynamic_batching": {
            "max_queue_delay_microseconds": round(1000 * service.batch_delay_ms),
            "default_queue_policy": {"max_queue_size": 16 * service.max_waiting},
        },
        "model_warmup": [
            {"name": f"batch of {batch}", "batch_size": batch, "inputs": _zeros(inputs, service.tile)}
            for batch in sorted({1, max_batch})
        ],
    }
    return {**fields, "response_cache": {"enable": True}} if service.cache_mib else fields


def _zeros(inputs: Sequence[Fields], tile: int) -> Fields:
    return {
        tensor["name"]: {"data_type": tensor["data_type"], "dims": _tile_sizes(tensor, tile), "zero_data": True}
        for tensor in inputs
    }


def _cuda_graphs(model: ServedModel, max_batch: int, inputs: Sequence[Fields]) -> Fields:
    """One CUDA graph per batch size of a tile, recorded when the model is loaded, as TensorRT's backend does."""
    sizes = {tensor["name"]: {"dim": _tile_sizes(tensor, model.service.tile)} for tensor in inputs}
    return {
        "graphs": True,
        "graph_spec": [{"batch_size": batch, "input": sizes} for batch in range(1, max_batch + 1)],
    }


def _tile_sizes(tensor: Mapping[str, Any], tile: int) -> list[int]:
    """A tensor's sizes when the image is a tile."""
    return [tile if size < 0 else size for size in tensor["dims"]]


def _tensors(specs: "Sequence[TensorSpec]", batched: bool) -> list[Fields]:
    """Names, types and sizes of a graph's tensors, their batch dimension left to Triton where that batches."""
    made: list[Fields] = []
    for spec in specs:
        dims = [-1 if isinstance(size, str) else size for size in spec.shape]
        made.append(_tensor(spec.name, _TRITON_TYPES[spec.dtype], dims[1:] if batched else dims))
    return made


def _tensor(name: str, kind: str, dims: Sequence[int]) -> Fields:
    return {"name": name, "data_type": f"TYPE_{kind}", "dims": list(dims)}
