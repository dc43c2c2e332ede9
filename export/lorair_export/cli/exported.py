"""What the export commands print: the bundle that was written, or the plan of one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from lorair_export.bundle import EngineRecord, Manifest
from lorair_export.cli.output import Output
from lorair_export.pipeline import EngineExport, ExportPlan
from lorair_export.quantization import Calibration
from lorair_export.tensorrt import AMPERE

if TYPE_CHECKING:
    from rich.progress import Progress

MIB = 2**20


@dataclass(frozen=True)
class Exported:
    """A bundle that was written.

    Attributes:
        bundle: its folder.
        bytes: the size of every file by its path.
        seconds: how long the export took.
        manifest: what manifest.json holds.
    """

    bundle: str
    bytes: dict[str, int]
    seconds: float
    manifest: Manifest


def give_exported(out: Output, folder: Path, run: "Callable[[Callable[[str], None], Progress], Manifest]") -> None:
    """Run an export with its steps shown, and print what it wrote."""
    began = perf_counter()
    with out.progress() as progress:
        manifest = run(out.steps(progress), progress)
    sizes = {str(folder / name): (folder / name).stat().st_size for name in manifest.files}
    exported = Exported(str(folder), sizes, round(perf_counter() - began, 1), manifest)
    out.give(exported, exported_lines(exported))


def give_engine_export(
    out: Output, job: EngineExport, dry_run: bool, photographs: Sequence[Path], calibration: Calibration
) -> None:
    """Run an export of engines, or print its plan."""
    out.say(*job.choices)
    if dry_run:
        plan = job.plan()
        out.give(plan, plan_lines(plan))
    else:
        give_exported(out, job.folder, lambda on_step, bars: job.run(photographs, calibration, on_step, bars))


def exported_lines(exported: Exported) -> Iterator[str]:
    """What was written, how accurate it is, and what to do with it."""
    manifest, folder = exported.manifest, Path(exported.bundle)
    if manifest.engine is None:
        paths = ", ".join(str(folder / graph.file) for graph in manifest.graphs)
        mebibytes = sum(exported.bytes.values()) / MIB
        yield f"wrote {paths}: {mebibytes:.1f} MiB in {exported.seconds:.0f} s"
        yield from _accuracy_lines(manifest)
        yield f"next: lorair restore photo.jpg --model {folder}"
    else:
        yield from _engine_lines(exported, manifest.engine)
        yield from _accuracy_lines(manifest)
        yield f"next, on such a GPU: lorair restore photo.jpg --model {folder}"


def plan_lines(plan: ExportPlan) -> Iterator[str]:
    """A plan for people, without what is not set."""
    yield "nothing is written; the export would be"
    sides = "{}x{}".format(*plan.shape) if plan.shape else "{} to {} pixels a side".format(*plan.size_range)
    facts = {
        "graphs": ", ".join(plan.graphs),
        "routing": plan.routing,
        "lowering": plan.lowering,
        "precision": plan.precision,
        "opset": plan.opset,
        "images": f"up to {plan.max_batch} of {sides}",
        "weights": f"about {plan.weights_mib} MiB",
        "largest tensor": plan.largest_tensor_mib and f"about {plan.largest_tensor_mib} MiB",
        "profiles": ", ".join(map(str, plan.profiles)),
        **(engine_facts(plan.engine) if plan.engine else {}),
    }
    yield from (f"  {name}: {value}" for name, value in facts.items() if value)


def engine_facts(engine: EngineRecord) -> dict[str, object]:
    """How engines would be built, by names for people."""
    facts = {field.name.replace("_", " "): getattr(engine, field.name) for field in fields(engine)}
    del facts["parity"], facts["build s"]
    hw_compat = None if engine.hw_compat == "none" else engine.hw_compat
    return {
        **facts,
        "hw compat": hw_compat,
        "compute capabilities": ", ".join(engine.compute_capabilities) or "this GPU's",
    }


def precision_lines(manifest: Manifest) -> Iterator[str]:
    """What part of each restorer is in the precision, what was kept in float32, and what it was checked with."""
    numerics = manifest.numerics
    if numerics is None:
        return
    for name, shares in numerics.convolutions.items():
        parts = ", ".join(f"{share:.0%} {precision}" for precision, share in shares.items())
        yield f"precision of {name}: {parts} of multiplications, {numerics.weights_mib[name]:.1f} MiB of weights"
    if numerics.quantized is not None:
        keep = numerics.quantized.keep_fp32
        named = [f"what --keep-fp32 {keep!r} names"] if keep else []
        for name, blocks in numerics.quantized.kept.items():
            kept = ", ".join(["the first and last convolution", "what runs on the prior", *named, *blocks])
            yield f"kept in float32 in {name}: {kept}"
    if manifest.parity and manifest.precision == "bf16":
        yield f"accuracy was measured by {numerics.checked_by}"


def _accuracy_lines(manifest: Manifest) -> Iterator[str]:
    what = "" if manifest.engine is None else " of the graph"
    if manifest.parity:
        worst = min(record.psnr_db for record in manifest.parity)
        sizes = ", ".join(dict.fromkeys(f"{record.height}x{record.width}" for record in manifest.parity))
        yield f"accuracy{what}: {worst:.0f} dB or more with the checkpoint at {sizes}"
    else:
        yield f"accuracy{what}: not checked"
    if manifest.engine is not None:
        worst = min((record.psnr_db for record in manifest.engine.parity), default=None)
        yield f"accuracy of the engine: {'not checked' if worst is None else f'{worst:.0f} dB or more'}"
    yield from precision_lines(manifest)


def _engine_lines(exported: Exported, engine: EngineRecord) -> Iterator[str]:
    targets = f"{AMPERE} and above" if engine.hw_compat == "ampere+" else ", ".join(engine.compute_capabilities)
    for graph in exported.manifest.graphs:
        path = Path(exported.bundle) / graph.file
        yield f"wrote {path}: {exported.bytes[str(path)] / MIB:.1f} MiB"
        for index, profile in enumerate(graph.profiles):
            yield f"profile {profile}{_memory(graph.activation_mib[index : index + 1])}"
    yield f"built in {exported.seconds:.0f} s, for compute capability {targets}"


def _memory(activation_mib: tuple[float, ...]) -> str:
    return f", {activation_mib[0]:.0f} MiB of GPU memory at its largest" if activation_mib else ""
