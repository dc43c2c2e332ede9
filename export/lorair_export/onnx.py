"""A model as one ONNX graph: image in, restored image and gates out."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lorair.model import LoRAIR


class Lowering(StrEnum):
    """How experts become graph operations: one merged kernel (batch 1), or low-rank branches (any batch)."""

    MERGED = "merged"
    LOW_RANK = "low-rank"


@dataclass(frozen=True)
class GraphSpec:
    """What graph to make of a model.

    ``precision`` is what the restorer computes in (fp32), ``max_batch`` the most images per call (1 with the
    merged lowering), ``min_size`` and ``max_size`` the smallest and largest height and width in pixels; where
    they are equal the graph is of fixed size.
    """

    lowering: Lowering = Lowering.MERGED
    precision: str = "fp32"
    opset: int = 20
    max_batch: int = 1
    min_size: int = 16
    max_size: int = 4096


def onnx_from_model(model: LoRAIR, path: Path, spec: GraphSpec | None = None) -> None:
    """Write a checked ONNX file: ``image`` [batch, 3, height, width] -> ``restored``, ``gates``.

    Everything is float32 at the border, images in [0, 1]; batch, height and width are named dimensions
    where they are free. Node names begin with ``router/`` or ``restorer/``. Above 2 GB the weights lie beside
    the graph in ``path`` + ``.data``.

    Args:
        model: stays as it is.
        path: ``*.onnx``; its folder exists.
        spec: None for the merged graph of one image.

    Raises:
        RuntimeUnavailableError: a package of the ``export`` extra is missing.
        ExportError: the graph cannot be made or does not pass the checker.
    """
    raise NotImplementedError
