"""The options of `lorair-export trt` that are about TensorRT."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

BUILD: Final = "Build"
# They exist for one flavour of TensorRT, and no engine built with them has run.
EXPERIMENTAL: Final = "Experimental: not yet run on a GPU"


class BackendChoice(StrEnum):
    """Which TensorRT builds: the classic one for the GPU of this machine, or TensorRT-RTX ahead of time."""

    auto = "auto"
    tensorrt = "tensorrt"
    rtx = "rtx"


class HwCompatChoice(StrEnum):
    """On which GPUs a plan runs, as trtexec names it."""

    none = "none"
    ampere = "ampere+"
    same_cc = "same-cc"


SourceOption = Annotated[
    str, typer.Option("--ckpt", "--model", "-m", help="Checkpoint, or the bundle of its ONNX graph.")
]
BackendOption = Annotated[
    BackendChoice, typer.Option(help="Which TensorRT builds; auto: the classic one where a GPU is.")
]
ComputeCapabilityOption = Annotated[
    list[str] | None,
    typer.Option(help="GPU to build for, as 8.6; repeatable. TensorRT-RTX only.", rich_help_panel=BUILD),
]
WorkspaceOption = Annotated[int | None, typer.Option(min=1, help="Most scratch memory in MiB.", rich_help_panel=BUILD)]
OptLevelOption = Annotated[
    int | None,
    typer.Option(help="Builder optimization level, 0 to 5. Classic TensorRT only.", rich_help_panel=EXPERIMENTAL),
]
HwCompatOption = Annotated[
    HwCompatChoice,
    typer.Option(help="Further GPUs that the plan runs on. Classic TensorRT only.", rich_help_panel=EXPERIMENTAL),
]
VersionCompatibleOption = Annotated[
    bool,
    typer.Option(
        "--version-compatible", help="A plan that later versions of TensorRT load too.", rich_help_panel=EXPERIMENTAL
    ),
]
RefitOption = Annotated[
    bool, typer.Option("--refit", help="A plan whose weights can be changed.", rich_help_panel=EXPERIMENTAL)
]
StripOption = Annotated[
    bool,
    typer.Option(
        "--strip-weights",
        "--strip",
        help="A plan without weights; loading adds the graph's.",
        rich_help_panel=EXPERIMENTAL,
    ),
]
TimingCacheOption = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False,
        help="Kernel timings, read and written. Classic TensorRT only.",
        rich_help_panel=EXPERIMENTAL,
    ),
]
