"""The command `lorair info`."""

import json as json_format
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer


def info(
    path: Annotated[str, typer.Argument(help="A .pt or .safetensors checkpoint.")] = "default",
    json: Annotated[bool, typer.Option("--json", help="Print it all, as JSON.")] = False,
) -> None:
    """Show what a checkpoint is: degradations, sizes, tower, how it was trained and what was measured of it."""
    facts = checkpoint_facts(path)
    if json:
        print(json_format.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        print(f"{name + ':':<16} {in_words(value)}")


def in_words(value: object) -> str:
    """Plain data in one line; of a mapping of mappings no more than its names."""
    match value:
        case dict() if value and all(isinstance(inner, dict) for inner in value.values()):
            return ", ".join(value)
        case dict():
            nested = ((name, in_words(inner), isinstance(inner, dict)) for name, inner in value.items())
            return ", ".join(f"{name} ({words})" if inside else f"{name} {words}" for name, words, inside in nested)
        case list() | tuple():
            return " ".join(map(in_words, value))
        case _:
            return str(value)


def checkpoint_facts(path: str | Path) -> dict[str, Any]:
    """What ``lorair info`` prints, as plain data."""
    from lorair.checkpoints import FORMAT_VERSION, read_checkpoint
    from lorair.model import config_to_dict

    checkpoint = read_checkpoint(path)
    restorer = sum(tensor.numel() for name, tensor in checkpoint.state.items() if name.startswith("restorer."))
    experts = sum(tensor.numel() for name, tensor in checkpoint.state.items() if name.endswith((".a", ".b")))
    total = sum(tensor.numel() for tensor in checkpoint.state.values())
    config = config_to_dict(checkpoint.config)
    return {
        "checkpoint": str(path),
        "format version": FORMAT_VERSION,
        "degradations": ", ".join(checkpoint.config.degradations),
        "parameters": f"{restorer - experts:,} restorer, {experts:,} experts, {total - restorer:,} router",
        "tower weights": "inside" if checkpoint.clip is None else asdict(checkpoint.clip),
        "mean priors": "inside" if checkpoint.mean_priors is not None else "none: a degradation cannot be named",
        "any size": f"images are padded to multiples of {checkpoint.config.restorer.size_multiple} and cropped back",
        "router": config["router"],
        "restorer": config["restorer"],
        "training": dict(checkpoint.training),
    }
