"""The checkpoint: configuration, weights and what the model says of itself, in one file of tensors and plain data.

Two containers hold the same content: ``.pt`` (torch's, read with ``weights_only=True``) and ``.safetensors``
(the plain data as JSON in its metadata). Neither can run code.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lorair.errors import CheckpointError
from lorair.model import LoRAIR, ModelConfig, config_from_dict, config_to_dict
from lorair.system import resolve_device, written_aside

FORMAT = "lorair-checkpoint"
FORMAT_VERSION = 1
DEFAULT = "default"
TOWER = "router.tower."


@dataclass(frozen=True)
class ClipReference:
    """Where a frozen tower's weights come from: an open_clip model and tag, and the SHA-256 of the tensors."""

    name: str
    tag: str
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A model at rest.

    ``state`` maps parameter names of :class:`LoRAIR` to tensors; the tower's are absent where ``clip`` names
    their source. ``mean_priors`` [E, P] is None where no images were at hand to measure them. ``training`` is
    a summary of how the weights came about: plain data, empty where unknown.
    """

    config: ModelConfig
    state: Mapping[str, Tensor]
    mean_priors: Tensor | None = None
    clip: ClipReference | None = None
    training: Mapping[str, Any] = field(default_factory=dict)


def checkpoint_of(
    model: LoRAIR, training: Mapping[str, Any] | None = None, clip: ClipReference | None = None
) -> Checkpoint:
    """The checkpoint of a model in memory; with ``clip`` the tower's weights are left to that reference."""
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items() if name != "mean_priors"}
    if clip is not None:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(TOWER)}
    priors = None if model.mean_priors is None else model.mean_priors.detach().cpu()
    return Checkpoint(config=model.config, state=state, mean_priors=priors, clip=clip, training=training or {})


def write_checkpoint(path: str | Path, checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> None:
    """Write a checkpoint; the suffix chooses the container. Written aside, then renamed.

    Args:
        path: ``*.pt`` or ``*.safetensors``.
        checkpoint: what to write.
        dtype: storage of floating tensors, None for their own. Reading gives float32 back.
    """
    path = Path(path)
    if path.suffix not in {".pt", ".safetensors"}:
        raise ValueError(f"{path}: a checkpoint ends in .pt or .safetensors")
    plain = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "config": config_to_dict(checkpoint.config),
        "clip": None if checkpoint.clip is None else vars(checkpoint.clip),
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
    """Read a checkpoint; ``default`` names the one inside the package.

    Raises:
        CheckpointError: the file is missing, truncated, foreign, of a newer format, or holds code.
    """
    path = default_path() if str(path) == DEFAULT else Path(path)
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


def load(path: str | Path = DEFAULT, device: str = "auto", clip_weights: str | Path | None = None) -> LoRAIR:
    """Load a checkpoint as a model that is ready to restore: in evaluation mode, its parameters float32.

    Example:
        >>> import lorair, torch
        >>> model = lorair.load(device="cpu")
        >>> model.degradations
        ('noise', 'rain', 'haze', 'snow', 'low_light', 'jpeg')
        >>> with torch.inference_mode():
        ...     restored = model(torch.rand(1, 3, 48, 64))
        >>> restored.shape
        torch.Size([1, 3, 48, 64])

    Args:
        path: ``*.pt``, ``*.safetensors``, or ``default`` for the small demonstration model inside the package.
        device: ``auto`` (a GPU where torch sees one), ``cpu``, ``cuda`` or ``cuda:N``.
        clip_weights: local file of the CLIP weights that the checkpoint refers to; None lets open_clip find them,
            which may download them.

    Returns:
        A module of floating images ``[B, 3, H, W]`` in [0, 1], of any size; see :meth:`LoRAIR.forward`.

    Raises:
        CheckpointError: the file is missing, truncated, foreign, of a newer format, or holds code; or its weights do
            not fit its configuration.
        RuntimeUnavailableError: the device is not there.
    """
    target = resolve_device(device)
    return model_of(read_checkpoint(path), str(path), clip_weights).to(target)


def model_of(checkpoint: Checkpoint, where: str = "checkpoint", clip_weights: str | Path | None = None) -> LoRAIR:
    """The model that a checkpoint describes, on the CPU, in evaluation mode."""
    model = LoRAIR(checkpoint.config)
    state = dict(checkpoint.state)
    if checkpoint.clip is not None:
        state |= _clip_state(checkpoint.clip, clip_weights)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{where}: weights do not fit the configuration: {reason}") from error
    model.mean_priors = checkpoint.mean_priors
    return model.eval().to(memory_format=torch.channels_last)


def checkpoint_of_clip(config: ModelConfig, source: str) -> Checkpoint:
    """A model that has learnt nothing but CLIP's tower, to start a router from.

    ``source`` is open_clip's ``MODEL/TAG``, which open_clip may download, or ``MODEL/FILE`` with a file of its weights.
    Raises CheckpointError where open_clip cannot load it, or where it is another tower than ``config`` has.
    """
    name, _, pretrained = source.partition("/")
    if not (name and pretrained):
        raise ValueError(f"CLIP weights are named as MODEL/TAG or MODEL/FILE; got {source!r}")
    model = LoRAIR(config)
    try:
        model.router.tower.load_state_dict(_tower_of_clip(name, pretrained))
    except RuntimeError as error:
        raise CheckpointError(f"{source} is another tower than the model's: {' '.join(str(error).split())}") from error
    return checkpoint_of(model)


def refer_to_clip(checkpoint: Checkpoint, reference: str) -> Checkpoint:
    """The same checkpoint without its tower's weights, which ``reference``, an open_clip ``MODEL/TAG``, names."""
    name, slash, tag = reference.partition("/")
    tower = {key.removeprefix(TOWER): tensor for key, tensor in checkpoint.state.items() if key.startswith(TOWER)}
    if not (name and slash and tag and tower):
        raise ValueError(f"a CLIP reference is MODEL/TAG, of a checkpoint that holds the tower; got {reference!r}")
    rest = {key: tensor for key, tensor in checkpoint.state.items() if not key.startswith(TOWER)}
    return replace(checkpoint, state=rest, clip=ClipReference(name, tag, tensors_sha256(tower)))


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def default_path() -> Path:
    """The checkpoint of the small demonstration model inside the package."""
    return Path(str(files("lorair"))) / "weights" / "default.pt"


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return (tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor).contiguous()


def _read_pt(path: Path) -> dict[str, Any]:
    import pickle
    import zipfile

    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: not a checkpoint, or cut short; copy it again")
    try:
        plain = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: refused, it holds more than tensors and plain data (no code is run)") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged checkpoint; copy it again") from error
    return plain if isinstance(plain, dict) else {}


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            plain = json.loads((file.metadata() or {}).get(FORMAT, "{}"))
            return {**plain, "tensors": {name: file.get_tensor(name) for name in file.keys()}}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{path}: not a safetensors file, or cut short ({error})") from error


def _clip_state(clip: ClipReference, weights: str | Path | None) -> dict[str, Tensor]:
    try:
        state = _tower_of_clip(clip.name, str(weights or clip.tag))
    except CheckpointError as error:
        raise CheckpointError(
            f"the checkpoint refers to CLIP weights {clip.name}/{clip.tag}: {error}; "
            "give a local file with --clip-weights, or embed them with 'lorair convert'"
        ) from error
    if tensors_sha256(state) != clip.sha256:
        raise CheckpointError(f"CLIP weights {clip.name}/{clip.tag} are not the ones this checkpoint was trained with")
    return {TOWER + name: tensor for name, tensor in state.items()}


def _tower_of_clip(name: str, pretrained: str) -> dict[str, Tensor]:
    """The vision tower of an open_clip model; ``pretrained`` is a tag, which open_clip may download, or a file."""
    import open_clip

    try:
        visual = open_clip.create_model(name, pretrained=pretrained).visual
    except (RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(
            f"open_clip could not load {name} with {pretrained} ({' '.join(str(error).split())}); "
            "without a network, name a file of the weights instead of a tag"
        ) from error
    assert isinstance(visual, nn.Module)
    return {name: tensor.float() for name, tensor in visual.state_dict().items()}
