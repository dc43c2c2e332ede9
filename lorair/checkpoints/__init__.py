"""Models at rest: our own format, and the published pair of files."""

from lorair.checkpoints.checkpoint import (
    DEFAULT,
    FORMAT_VERSION,
    Checkpoint,
    checkpoint_of,
    checkpoint_of_clip,
    default_path,
    load,
    model_of,
    read_checkpoint,
    refer_to_clip,
    tensors_sha256,
    write_checkpoint,
)
from lorair.checkpoints.published import convert, restorer_name

__all__ = [
    "DEFAULT",
    "FORMAT_VERSION",
    "Checkpoint",
    "checkpoint_of",
    "checkpoint_of_clip",
    "convert",
    "default_path",
    "load",
    "model_of",
    "read_checkpoint",
    "refer_to_clip",
    "restorer_name",
    "tensors_sha256",
    "write_checkpoint",
]
