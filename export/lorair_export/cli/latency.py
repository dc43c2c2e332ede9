"""The command `lorair-bench latency`."""

from enum import StrEnum
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


class PartChoice(StrEnum):
    """What is timed."""

    all = "all"
    router = "router"
    restorer = "restorer"


def latency(
    model: Annotated[
        list[str],
        typer.Option(help="Checkpoint, published:CHECKPOINT, compile:CHECKPOINT, bundle or server; repeatable."),
    ],
    size: SizeOption = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Images per call; repeatable.")] = None,
    part: Annotated[PartChoice, typer.Option(help="Time router and restorer, or only one.")] = PartChoice.all,
    device: DeviceOption = "auto",
    output: OutputOption = None,
    iters: ItersOption = 30,
    warmup: WarmupOption = 3,
    duration: DurationOption = 0.0,
    compare: CompareOption = None,
    json: JsonOption = False,
) -> None:
    """Time models in turn on the example photographs.

    The first checkpoint is the reference: a model whose outputs differ is listed with the reason and without figures,
    and the exit code is 6. Load time, first call and peak memory are measured in a fresh process. With --part restorer,
    gates and priors are given, and the images of a batch use different experts.
    """
    from lorair_export.bench import Part, Plan, Rounds, benchmark_models

    cases = cases_of(size or ["256x256"], batch or [1])
    plan = Plan(cases, Rounds(warmup, iters, duration), Part(part), device)
    print_run(benchmark_models(model, plan, output, compare, print_step), compare, json)
