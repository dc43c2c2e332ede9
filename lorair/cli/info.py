"""The command `lorair info`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from lorair.cli.console import print_json
from lorair.plain_data import dict_from_dataclass

if TYPE_CHECKING:
    from lorair.checkpoints import CheckpointFacts


def info(
    path: Annotated[str, typer.Argument(help="A .pt or .safetensors checkpoint.")] = "default",
    json: Annotated[bool, typer.Option("--json", help="Print the full description as JSON.")] = False,
) -> None:
    """Describe a checkpoint: degradations, sizes, tower, training and measurements."""
    from lorair.checkpoints import describe_checkpoint

    facts = describe_checkpoint(path)
    if json:
        print_json(facts)
        return
    for name, value in _lines(facts):
        print(f"{name + ':':<16} {value}")


def _lines(facts: "CheckpointFacts") -> Iterator[tuple[str, str]]:
    plain, parameters = dict_from_dataclass(facts), facts.parameters
    yield "checkpoint", facts.checkpoint
    yield "format version", str(facts.format_version)
    yield "degradations", ", ".join(facts.degradations)
    counts = f"{parameters.restorer:,} restorer, {parameters.experts:,} experts, {parameters.router:,} router"
    yield "parameters", counts
    yield "tower weights", "inside" if facts.clip is None else _in_words(plain["clip"])
    yield "mean priors", "inside" if facts.accepts_degradation else "none: --degradation is not supported"
    yield "any size", f"images are padded to multiples of {facts.size_multiple} and cropped back"
    for name in ("router", "restorer", "training"):
        yield name, _in_words(plain[name])


def _in_words(value: object) -> str:
    """Plain data in one line; of a mapping of mappings only its names."""
    match value:
        case dict() if value and all(isinstance(inner, dict) for inner in value.values()):
            return ", ".join(value)
        case dict():
            nested = ((name, _in_words(inner), isinstance(inner, dict)) for name, inner in value.items())
            return ", ".join(f"{name} ({words})" if inside else f"{name} {words}" for name, words, inside in nested)
        case list():
            return " ".join(map(_in_words, value))
        case _:
            return str(value)
