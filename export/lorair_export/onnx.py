"""A model as one ONNX graph: image in, restored image and gates out."""

from enum import StrEnum
from pathlib import Path

from lorair.model import LoRAIR

OPSET = 20
MIN_SIZE = 16
MAX_SIZE = 4096


class Lowering(StrEnum):
    """How experts become graph operations: one merged kernel (batch 1), or low-rank branches (any batch)."""

    MERGED = "merged"
    LOW_RANK = "low-rank"


def onnx_from_model(
    model: LoRAIR,
    path: Path,
    *,
    lowering: Lowering = Lowering.MERGED,
    precision: str = "fp32",
    opset: int = OPSET,
    max_batch: int = 1,
    min_size: int = MIN_SIZE,
    max_size: int = MAX_SIZE,
) -> None:
    """Write a checked ONNX file: ``image`` [batch, 3, height, width] -> ``restored``, ``gates``.

    Everything is float32 at the border, images in [0, 1]; batch, height and width are named dimensions
    (batch is 1 where the lowering is merged). Node names begin with ``router/`` or ``restorer/``. Above 2 GB
    the weights lie beside the graph in ``path`` + ``.data``.

    Args:
        model: stays as it is.
        path: ``*.onnx``; its folder exists.
        lowering: merged for one image per call.
        precision: ``fp32``; what the restorer computes in.
        opset: 18 to 22.
        max_batch: most images per call; above 1 the lowering must be low-rank.
        min_size: smallest height and width.
        max_size: largest height and width.

    Raises:
        ValueError: options that contradict each other.
        ExportError: the graph cannot be made or does not pass the checker.
    """
    raise NotImplementedError
