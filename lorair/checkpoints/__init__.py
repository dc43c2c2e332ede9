"""Checkpoints: lorair's format, the published pair of files, and building the model from either."""

from lorair.checkpoints.checkpoint import Checkpoint, ClipReference, checkpoint_of, tensors_sha256
from lorair.checkpoints.clip import checkpoint_of_clip, refer_to_clip
from lorair.checkpoints.facts import CheckpointFacts, describe_checkpoint
from lorair.checkpoints.files import DEFAULT, checkpoint_path, read_checkpoint, write_checkpoint
from lorair.checkpoints.loading import load, model_of
from lorair.checkpoints.published import convert
from lorair.checkpoints.published_names import restorer_name

__all__ = [
    "DEFAULT",
    "Checkpoint",
    "CheckpointFacts",
    "ClipReference",
    "checkpoint_of",
    "checkpoint_of_clip",
    "checkpoint_path",
    "convert",
    "describe_checkpoint",
    "load",
    "model_of",
    "read_checkpoint",
    "refer_to_clip",
    "restorer_name",
    "tensors_sha256",
    "write_checkpoint",
]
