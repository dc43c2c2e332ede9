"""Checkpoint files: configuration, weights and training record, as tensors and plain data.

Two containers hold the same content: `.pt` (torch's, read with `weights_only=True`) and `.safetensors`
(the plain data as JSON in its metadata). Neither can run code.
"""

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from lorair.checkpoints.checkpoint import Checkpoint, ClipReference
from lorair.errors import CheckpointError
from lorair.model import config_from_dict, config_to_dict
from lorair.system import written_aside

FORMAT = "lorair-checkpoint"
FORMAT_VERSION = 1
DEFAULT = "default"


def checkpoint_path(name: str | Path = DEFAULT) -> Path:
    """The file of a checkpoint; `default` names the small demonstration model inside the package."""
    return Path(str(files("lorair"))) / "weights" / "default.pt" if str(name) == DEFAULT else Path(name)


def write_checkpoint(path: str | Path, checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> None:
    """Write a checkpoint; the suffix chooses the container. The file appears whole or not at all.

    Args:
        path: `*.pt` or `*.safetensors`.
        checkpoint: what to write.
        dtype: storage of floating tensors, None for their own. Reading gives float32 back.

    Raises:
        ValueError: the path has another suffix.
        OSError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in {".pt", ".safetensors"}:
        raise ValueError(f"{path}: a checkpoint ends in .pt or .safetensors")
    plain = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": config_to_dict(checkpoint.config),
        "clip": None if checkpoint.clip is None else asdict(checkpoint.clip),
        "training": dict(checkpoint.training),
    }
    tensors = {name: _stored(tensor, dtype) for name, tensor in checkpoint.state.items()}
    if checkpoint.mean_priors is not None:
        tensors["mean_priors"] = _stored(checkpoint.mean_priors, dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        if path.suffix == ".pt":
            torch.save({**plain, "tensors": tensors}, aside)
        else:
            from safetensors.torch import save_file

            save_file(tensors, aside, metadata={FORMAT: json.dumps(plain)})


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint, every floating tensor as float32; `default` names the one inside the package.

    Raises:
        CheckpointError: the file is missing, truncated, not a checkpoint, of a newer format, or contains code.
    """
    path = checkpoint_path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    plain = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pt(path)
    if plain.get("format") != FORMAT:
        hint = "; a published pair is read by 'lorair convert'" if set(plain) == {"params"} else ""
        raise CheckpointError(f"{path}: not a lorair checkpoint{hint}")
    version = plain.get("format_version")
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: checkpoint format {version!r}, this lorair reads {FORMAT_VERSION}; upgrade lorair to read it"
        )
    try:
        tensors = {str(name): tensor.float() for name, tensor in plain["tensors"].items()}
        clip = plain["clip"]
        return Checkpoint(
            config=config_from_dict(plain["config"]),
            mean_priors=tensors.pop("mean_priors", None),
            state=tensors,
            clip=None if clip is None else ClipReference(**clip),
            training=plain["training"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint: {error}") from error


def plain_from_torch(path: Path) -> Mapping[str, Any]:
    """The content of a torch.save file with tensors on the CPU; empty if it is no mapping. No code in it is run.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors and plain data.
    """
    try:
        plain: object = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: rejected: it holds more than tensors and plain data (no code is run)"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged, or not a file of torch.save; copy it again") from error
    return cast("Mapping[str, Any]", plain) if isinstance(plain, Mapping) else {}


def _read_pt(path: Path) -> Mapping[str, Any]:
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: not a checkpoint, or cut short; copy it again")
    return plain_from_torch(path)


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return (tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor).contiguous()


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            plain = json.loads((file.metadata() or {}).get(FORMAT, "{}"))
            return {**plain, "tensors": {name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file, or cut short ({error})") from error
