"""The command `lorair-bench restorer`."""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from lorair_export.cli.latency import (
    CompareOption,
    DeviceOption,
    DurationOption,
    ItersOption,
    OutputOption,
    SizeOption,
    WarmupOption,
    cases_of,
    run,
)


def restorer(
    model: Annotated[str, typer.Option(help="A preset (lorair-64, tiny), for random weights, or a checkpoint.")],
    size: SizeOption = None,
    local_window: Annotated[
        str | None, typer.Option(metavar="PIXELS|global", help="Pool over this; by default the model's own.")
    ] = None,
    form: Annotated[
        list[str] | None,
        typer.Option(help="What to measure, by the names in the table, torch among them; repeatable, by default all."),
    ] = None,
    iters: ItersOption = 10,
    warmup: WarmupOption = 1,
    duration: DurationOption = 0.0,
    device: DeviceOption = "auto",
    keep: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder to leave graphs in, for the next run.")
    ] = None,
    compare: CompareOption = None,
    output: OutputOption = None,
) -> None:
    """Time the restorer without its router, by whatever runs it here, beside the published form in eager torch.

    The published form, torch, torch.compile, ONNX Runtime and OpenVINO (in bfloat16 and int8 too) in turn, on one
    512x512 image and on four of 256x256, where --size asks for nothing else. Every image of a batch has another expert
    in turn.
    """
    from lorair.model import PRESETS
    from lorair_export.bench import FORMS, Part, Plan, Rounds, opened, prepare_report, prepared

    cases = cases_of(size or ["512x512", "4x256x256"], [1])
    if output is not None:
        prepare_report(output)
    with TemporaryDirectory() if keep is None else nullcontext(str(keep)) as folder:
        targets = prepared(model, Path(folder), cases, local_window, form or list(FORMS))
        runtimes = opened(targets, device)
        about = {
            "model": f"{model}, random weights" if model in PRESETS else model,
            "local_window": local_window or "the model's",
        }
        plan = Plan(cases, Rounds(warmup, iters, duration), Part.RESTORER, device, about)
        run(runtimes, targets, plan, compare, output)
