"""The command `lorair-export inspect`."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorair_export.cli.output import Json, print_json

if TYPE_CHECKING:
    from lorair_export.bundle import Graph, Manifest, TensorSpec
    from lorair_export.inspection import EngineSummary, GraphFacts, Layer


def inspect(
    target: Annotated[Path, typer.Argument(help="Bundle folder, or an ONNX file.", exists=True)],
    size: Annotated[str, typer.Option(help="Height x width that work is counted for.")] = "256x256",
    layers: Annotated[int, typer.Option(min=0, help="How many of the largest layers to name.")] = 5,
    json: Json = False,
) -> None:
    """Say what an artefact takes and gives, what is in it, and what TensorRT would not take.

    Layers of an engine are told where it loads, on its GPU.

    Exit codes: 0 ok, 2 wrong usage, 3 a package is missing, 4 damaged or no ONNX.
    """
    from lorair_export.bundle import read_bundle
    from lorair_export.cli.latency import parsed_size
    from lorair_export.inspection import facts_of

    manifest = read_bundle(target) if target.is_dir() else None
    paths = [target] if manifest is None else [target / name for name in manifest.files if name.endswith(".onnx")]
    facts = [facts_of(path, *parsed_size(size)) for path in paths]
    engines, unread = ([], "") if manifest is None else _engines(target, manifest)
    plain = {
        "manifest": None if manifest is None else asdict(manifest),
        "engines": [asdict(each) for each in engines],
        "engines_unread": unread,
        "graphs": [{**asdict(each), "layers": [asdict(layer) for layer in largest(each, layers)]} for each in facts],
    }
    if json:
        print_json(plain)
        return
    if manifest is not None:
        print(*manifest_lines(manifest), *map(_engine_line, engines), sep="\n")
    if unread:
        print(f"layers of the engine are not told: {unread}")
    for each in facts:
        print(*_lines(each, layers), sep="\n")


def _engines(folder: Path, manifest: "Manifest") -> "tuple[list[EngineSummary], str]":
    """What TensorRT tells of a bundle's engines, or why it does not."""
    from lorair.errors import RuntimeUnavailableError
    from lorair_export.inspection import engine_summaries

    if not manifest.engine:
        return [], ""
    try:
        return engine_summaries(folder, manifest), ""
    except RuntimeUnavailableError as error:
        return [], " ".join(str(error).split())


def _engine_line(engine: "EngineSummary") -> str:
    told = {"of types": _pairs(engine.types), "writing": _pairs(engine.writes)}
    counts = "".join(f"; {what} {text}" for what, text in told.items() if text)
    return f"engine of {engine.graph}: {engine.layers} layers{counts or '; built without their types'}"


def largest(facts: "GraphFacts", count: int) -> list["Layer"]:
    """The layers of most work and those of most weights, so many of each."""
    by_macs = sorted(facts.layers, key=lambda layer: -layer.macs)[:count]
    by_weights = sorted(facts.layers, key=lambda layer: -layer.weight_bytes)[:count]
    return list(dict.fromkeys([*by_macs, *by_weights]))


def manifest_lines(manifest: "Manifest") -> list[str]:
    """What a bundle says of itself, a line for each thing that is there."""
    low, high = manifest.size_range
    told = {
        "runtime": manifest.runtime,
        "files": ", ".join(manifest.files),
        "restores": manifest.pinned or ", ".join(manifest.degradations),
        "takes": f"up to {manifest.max_batch} images per call, sides of {low} to {high} pixels",
        "form": f"routing {manifest.routing}, {manifest.lowering}, {manifest.precision}, opset {manifest.opset}",
        "engine": _pairs(manifest.engine),
        "made by": _pairs(manifest.versions),
        "parity": ", ".join(f"{r.psnr_db:.0f} dB at {r.height}x{r.width}" for r in manifest.parity) or "not checked",
    }
    return [*(f"{name}: {text}" for name, text in told.items() if text), *map(_graph_line, manifest.graphs)]


def _graph_line(graph: "Graph") -> str:
    return f"runs {graph.file}" + "".join(f", profile {profile}" for profile in graph.profiles)


def _lines(facts: "GraphFacts", count: int) -> Iterator[str]:
    yield f"\n{facts.file}: opset {facts.opset}, IR {facts.ir_version}"
    yield from (f"  input {_tensor(tensor)}" for tensor in facts.inputs)
    yield from (f"  output {_tensor(tensor)}" for tensor in facts.outputs)
    yield f"  operators: {_pairs(facts.operators)}"
    yield f"  tensors computed: {_pairs(facts.dtypes)}"
    yield f"  weights: {_pairs({name: f'{size / 2**20:.1f} MiB' for name, size in facts.weight_bytes.items()})}"
    yield f"  work for {'x'.join(map(str, facts.image))}: {facts.macs / 1e9:.2f} G multiply-accumulates"
    for layer in largest(facts, count):
        yield f"    {layer.macs / 1e6:8.1f} M {layer.weight_bytes / 2**10:8.1f} KiB  {layer.name}"
    yield from (f"  {'refused by' if f.fatal else 'bad for'} TensorRT: {f}" for f in facts.findings)


def _tensor(tensor: "TensorSpec") -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)}"


def _pairs(pairs: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in pairs.items() if value is not False and value not in (None, [], "")
    )
