"""A model repository for Triton Inference Server: router and restorer, and `lorair` in front of them."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from lorair_export.bundle import new_bundle, read_bundle
from lorair_export.errors import ExportError
from safetensors.torch import save_file

from lorair.checkpoints import checkpoint_path, read_checkpoint
from lorair_serving.repository.config import FRONT, artefact_config, front_config, restorer_config, router_config
from lorair_serving.repository.protobuf import Config, text_from_config
from lorair_serving.repository.settings import ServedModel, Service

PRIORS = "priors.safetensors"
CONFIG = "config.pbtxt"
MARKER = f"{FRONT}/{CONFIG}"
BACKENDS = {"onnx": "onnxruntime", "tensorrt": "tensorrt"}
MODEL_PY = """import os
import sys

# The interpreter inside the backend ignores PYTHONPATH.
sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))

from lorair_serving.models.{name} import TritonPythonModel  # noqa: E402

__all__ = ["TritonPythonModel"]
"""


def write_repository(
    source: str, target: Path, service: Service | None = None, backend: str = "auto", overwrite: bool = False
) -> None:
    """Write what tritonserver serves, complete or not at all.

    Args:
        source: a checkpoint, "default", or the folder of a bundle.
        target: the folder to make.
        service: settings, None for the defaults.
        backend: what runs a bundle: "auto" for Triton's own backend (onnxruntime, tensorrt), "python" for lorair's
            runtime. A checkpoint is always run by lorair's.
        overwrite: replace a repository that exists.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ExportError: the target exists, or the bundle is damaged.
        ValueError: the bundle does not fit the service.
    """
    service = service or Service()
    with new_bundle(target, overwrite, MARKER) as folder:
        if Path(source).is_dir():
            _write_bundle(Path(source), folder, service, backend)
        else:
            _write_checkpoint(checkpoint_path(source), folder, service)


def _for_python(service: Service) -> Service:
    """The service with its processes counted: on a CPU, one per core is faster than all cores on one tile."""
    cores = len(os.sched_getaffinity(0)) if service.device == "cpu" else 1
    return replace(service, instances=service.instances or cores)


def _write_checkpoint(path: Path, folder: Path, service: Service) -> None:
    service = _for_python(service)
    checkpoint = read_checkpoint(path)
    config = checkpoint.config
    artefact = f"model{path.suffix}"
    model = ServedModel(config.degradations, config.router.tower.image_size, config.router.prior_dim, artefact, service)
    _write_model(folder, front_config(model), "front")
    for made, code in ((router_config(model), "router"), (restorer_config(model), "restorer")):
        shutil.copy(path, _write_model(folder, made, code) / artefact)
    if checkpoint.mean_priors is not None:
        save_file({"mean_priors": checkpoint.mean_priors.float()}, folder / FRONT / "1" / PRIORS)


def _write_bundle(bundle: Path, folder: Path, service: Service, backend: str) -> None:
    manifest = read_bundle(bundle)
    graph = manifest.one_graph
    if graph.inputs[0].dtype != "float32" or graph.fixed_batch not in (None, 1):
        raise ExportError(
            f"{bundle}: the service sends batches of any size in float32; export with --io float32, without --batch"
        )
    low, high = manifest.size_range
    as_is = [profile.takes(service.tile, service.tile) for profile in graph.profiles]
    if not low <= service.tile <= high or (as_is and not any(as_is)):
        taken = ", ".join(map(str, graph.profiles)) or f"{low} to {high} pixels a side"
        raise ValueError(f"{bundle} takes images of {taken}; choose --tile within that")
    if backend != "auto":
        service = _for_python(service)
    artefact = graph.file if backend == "auto" else "bundle"
    model = ServedModel(manifest.degradations, None, 0, artefact, service)
    _write_model(folder, front_config(model), "front")
    if backend == "auto":
        version = _write_model(folder, artefact_config(model, manifest, BACKENDS[manifest.runtime]))
        for name in manifest.files:
            shutil.copy(bundle / name, version)
    else:
        version = _write_model(folder, restorer_config(model), "restorer")
        shutil.copytree(bundle, version / artefact)


def _write_model(folder: Path, config: Config, code: str | None = None) -> Path:
    """One model's folder, its code imported from that module of lorair_serving.models; returns that of version 1."""
    version = folder / config["name"] / "1"
    version.mkdir(parents=True)
    (version.parent / CONFIG).write_text(text_from_config(config))
    if code is not None:
        (version / "model.py").write_text(MODEL_PY.format(name=code))
    return version
