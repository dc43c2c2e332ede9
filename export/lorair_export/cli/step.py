"""The command `lorair-bench step`."""

from typing import Annotated

import typer


def step(
    preset: Annotated[str, typer.Option(help="The model: lorair-64 or tiny; random weights.")] = "lorair-64",
    size: Annotated[int, typer.Option(min=16, help="Side of the crops in pixels.")] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Images of a step, each with its own expert in turn.")] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Timed steps of each form, one in turn.")] = 3,
) -> None:
    """Time a step of fine-tuning, of the experts alone, beside the published form's, on this CPU.

    Both compute the same gradients, which is checked first; the router is left out.
    """
    from rich.console import Console
    from rich.table import Table

    from lorair.model import PRESETS
    from lorair_export.bench import step_cost

    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    cost = step_cost(PRESETS[preset], size, batch, rounds)
    table = Table(title=f"{preset}, {batch}x3x{size}x{size}, float32, seconds per step (median of {rounds})")
    for heading in ("merged", "published", "published / merged", "gradients differ"):
        table.add_column(heading, justify="right")
    ratio = f"{cost.published / cost.merged:.1f}"
    table.add_row(f"{cost.merged:.3f}", f"{cost.published:.3f}", ratio, f"{cost.gradient_error:.0e}")
    Console().print(table)
