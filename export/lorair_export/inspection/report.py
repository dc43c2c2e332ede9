"""An inspection in lines of text."""

from collections.abc import Iterator, Mapping

from lorair_export.bundle import EngineRecord, Graph, Manifest, TensorSpec
from lorair_export.inspection.artifact import Inspection
from lorair_export.inspection.engine_summary import EngineSummary
from lorair_export.inspection.graph_facts import GraphFacts


def inspection_lines(inspection: Inspection) -> Iterator[str]:
    """The bundle, its engines, then each graph."""
    if inspection.manifest is not None:
        yield from _bundle_lines(inspection.manifest)
    yield from map(_engine_line, inspection.engines)
    if inspection.engines_unread:
        yield f"layers of the engine are not known: {inspection.engines_unread}"
    for facts in inspection.graphs:
        yield from _graph_lines(facts)


def _bundle_lines(manifest: Manifest) -> Iterator[str]:
    low, high = manifest.size_range
    facts = {
        "runtime": manifest.runtime,
        "files": ", ".join(manifest.files),
        "restores": manifest.pinned or ", ".join(manifest.degradations),
        "takes": f"up to {manifest.max_batch} images per call, sides of {low} to {high} pixels",
        "form": f"routing {manifest.routing}, {manifest.lowering}, {manifest.precision}, opset {manifest.opset}",
        "engine": _engine_facts(manifest.engine) if manifest.engine else "",
        "made by": _pairs(manifest.versions),
        "parity": ", ".join(f"{r.psnr_db:.0f} dB at {r.height}x{r.width}" for r in manifest.parity) or "not checked",
    }
    yield from (f"{name}: {text}" for name, text in facts.items() if text)
    yield from map(_run_line, manifest.graphs)


def _engine_facts(engine: EngineRecord) -> str:
    targets, checks = ", ".join(engine.compute_capabilities), len(engine.parity)
    facts = {**vars(engine), "compute_capabilities": targets, "parity": f"of {checks} batches" if checks else ""}
    return _pairs(facts)


def _run_line(graph: Graph) -> str:
    return f"runs {graph.file}" + "".join(f", profile {profile}" for profile in graph.profiles)


def _engine_line(engine: EngineSummary) -> str:
    named = {"of types": _pairs(engine.types), "writing": _pairs(engine.writes)}
    counts = "".join(f"; {what} {text}" for what, text in named.items() if text)
    return f"engine of {engine.graph}: {engine.layers} layers{counts or '; built without their types'}"


def _graph_lines(facts: GraphFacts) -> Iterator[str]:
    yield f"\n{facts.file}: opset {facts.opset}, IR {facts.ir_version}"
    yield from (f"  input {_tensor(tensor)}" for tensor in facts.inputs)
    yield from (f"  output {_tensor(tensor)}" for tensor in facts.outputs)
    yield f"  operators: {_pairs(facts.operators)}"
    yield f"  tensors computed: {_pairs(facts.dtypes)}"
    yield f"  weights: {_pairs({name: f'{size / 2**20:.1f} MiB' for name, size in facts.weight_bytes.items()})}"
    yield f"  work for {'x'.join(map(str, facts.image))}: {facts.macs / 1e9:.2f} G multiply-accumulates"
    for layer in facts.layers:
        yield f"    {layer.macs / 1e6:8.1f} M {layer.weight_bytes / 2**10:8.1f} KiB  {layer.name}"
    for finding in facts.findings:
        yield f"  {'TensorRT rejects' if finding.fatal else 'bad for TensorRT:'} {finding}"


def _tensor(tensor: TensorSpec) -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)}"


def _pairs(pairs: Mapping[str, object]) -> str:
    """`name value, ...` of what is set."""
    unset: tuple[object, ...] = (None, [], "")
    return ", ".join(f"{name} {value}" for name, value in pairs.items() if value is not False and value not in unset)
