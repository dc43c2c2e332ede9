"""The command `lorair-bench experts`."""

from typing import Annotated

import typer


def experts(
    preset: Annotated[str, typer.Option(help="The model: lorair-64 or tiny; random weights.")] = "lorair-64",
    size: Annotated[int, typer.Option(min=16, help="Side of the square images in pixels.")] = 256,
    batch: Annotated[list[int] | None, typer.Option(min=1, help="Images per call; repeatable.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Timed calls of each form, one in turn.")] = 3,
) -> None:
    """Time the restorer with experts beside the plain network and beside the published form, on this CPU.

    The router is left out. Each image of a batch has its own top-1 expert in turn.
    """
    from rich.console import Console
    from rich.table import Table

    from lorair.model import PRESETS
    from lorair_export.bench import experts_cost

    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    batches = tuple(batch or (1, 4))
    cost = experts_cost(PRESETS[preset], size, batches, rounds)
    table = Table(title=f"{preset}, 3x{size}x{size}, float32, seconds per call (median of {rounds})")
    for heading in ("batch", "experts", "per image", "plain", "published", "experts / plain", "published / experts"):
        table.add_column(heading, justify="right")
    for n in batches:
        ours, plain, published = cost.experts[n], cost.plain[n], cost.published[n]
        figures = (ours, ours / n, plain, published)
        table.add_row(str(n), *(f"{s:.3f}" for s in figures), f"{ours / plain:.2f}", f"{published / ours:.1f}")
    Console().print(table)
