"""The command `lorair-bench restorer`."""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from lorair_export.cli.latency_options import (
    CompareOption,
    DeviceOption,
    DurationOption,
    ItersOption,
    JsonOption,
    OutputOption,
    SizeOption,
    WarmupOption,
    cases_of,
    print_run,
    print_step,
)


def restorer(
    model: Annotated[str, typer.Option(help="Preset (lorair-64, tiny), with random weights, or checkpoint.")],
    size: SizeOption = None,
    form: Annotated[
        list[str] | None,
        typer.Option(help="Form to time, by its name in the table; include torch. Repeatable; default: all."),
    ] = None,
    local_window: Annotated[
        str | None, typer.Option(metavar="PIXELS|global", help="Window of channel attention; default: the model's.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder that keeps the graphs for the next run.")
    ] = None,
    device: DeviceOption = "auto",
    output: OutputOption = None,
    iters: ItersOption = 10,
    warmup: WarmupOption = 1,
    duration: DurationOption = 0.0,
    compare: CompareOption = None,
    json: JsonOption = False,
) -> None:
    """Time the restorer, without its router, in every form that runs on this machine.

    The forms are the published one in eager torch, torch, torch.compile, ONNX Runtime and OpenVINO (also in bfloat16
    and int8). Default sizes are one image of 512x512 and four of 256x256. The images of a batch use different experts.
    """
    from lorair.model import PRESETS
    from lorair_export.bench import FORMS, Part, Plan, Rounds, benchmark_restorer

    cases = cases_of(size or ["512x512", "4x256x256"], [1])
    about = {
        "model": f"{model}, random weights" if model in PRESETS else model,
        "local_window": local_window or "the model's",
    }
    plan = Plan(cases, Rounds(warmup, iters, duration), Part.RESTORER, device, about)
    with TemporaryDirectory() if keep is None else nullcontext(str(keep)) as folder:
        run = benchmark_restorer(
            model, form or list(FORMS), Path(folder), plan, local_window, output, compare, print_step
        )
    print_run(run, compare, json)
