"""What the export commands share of graphs: routing, lowering, precision, images at the border."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

GRAPH: Final = "Graph"


class LoweringChoice(StrEnum):
    """How experts are represented in the graph; auto follows --routing, --precision and the batch."""

    auto = "auto"
    merged = "merged"
    low_rank = "low-rank"


class PrecisionChoice(StrEnum):
    """What the restorer computes in."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"
    fp8 = "fp8"


class ImageTypeChoice(StrEnum):
    """Images at the graph's border: in [0, 1], or in 0..255."""

    float32 = "float32"
    uint8 = "uint8"


CkptOption = Annotated[str, typer.Option("--ckpt", "--model", "-m", help="Checkpoint to export.")]
ClipOption = Annotated[Path | None, typer.Option(help="Local file of the CLIP weights.", rich_help_panel=GRAPH)]
RoutingOption = Annotated[
    str | None,
    typer.Option(
        metavar="FORM", help="graph, split, experts or pinned:DEGRADATION; default: graph.", rich_help_panel=GRAPH
    ),
]
LoweringOption = Annotated[
    LoweringChoice, typer.Option(help="How experts are represented in the graph.", rich_help_panel=GRAPH)
]
PrecisionOption = Annotated[PrecisionChoice | None, typer.Option(help="What the restorer computes in; default: fp32.")]
ImageTypeOption = Annotated[
    ImageTypeChoice | None, typer.Option(help="Type of images in and out; default: float32.", rich_help_panel=GRAPH)
]
OpsetOption = Annotated[
    int | None,
    typer.Option(min=18, max=22, help="ONNX operator set; default: 20, 22 for bf16.", rich_help_panel=GRAPH),
]
