"""Whether an artefact restores what a model restores."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorair.inference import open_runtime
from lorair_export.bundle import ParityRecord, Tolerance, check, compare, tolerance_for
from lorair_export.pipeline.sources import photographs_or_own
from lorair_export.runtimes import BundleRuntime


@dataclass(frozen=True)
class Verification:
    """An artefact compared with a model.

    Attributes:
        artefact: what was compared.
        reference: what it was compared with.
        runtime: what ran the artefact.
        precision: what it is judged by.
        image_dtype: of the images that it takes.
        pinned: the degradation that both restored; null where each routed.
        tolerance: what every record must keep to.
        records: one for each batch of photographs.
    """

    artefact: str
    reference: str
    runtime: str
    precision: str
    image_dtype: str
    pinned: str | None
    tolerance: Tolerance
    records: tuple[ParityRecord, ...]

    def check(self) -> None:
        """ParityError where a record misses the tolerance."""
        check(self.records, self.precision, self.image_dtype, "export the bundle from that model again")


def verify(
    artefact: str | Path,
    reference: str | Path = "default",
    *,
    photographs: Sequence[Path] | None = None,
    batch: int = 1,
    device: str = "auto",
) -> Verification:
    """Restore photographs by an artefact and by a model, at three sizes where the size is free.

    Example:
        >>> from lorair_export import verify
        >>> verification = verify("best-onnx", "best.pt")
        >>> verification.check()  # ParityError where they differ
        >>> min(record.psnr_db for record in verification.records) > verification.tolerance.psnr_db
        True

    Args:
        artefact: whatever `lorair restore --model` takes: a bundle, a checkpoint, `openvino:BUNDLE`, a server.
        reference: likewise, what is right; it runs on the CPU.
        photographs: image files; None for the package's own.
        batch: images per call.
        device: of the artefact: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        The differences, measured and not judged; `check()` judges them.

    Raises:
        CheckpointError: a checkpoint cannot be read.
        ExportError: a bundle is damaged.
        RuntimeUnavailableError: a package, a device or a server is missing.
        ValueError: there is no photograph, or a target that no runtime accepts.
    """
    expected, runtime = open_runtime(str(reference), "cpu"), open_runtime(str(artefact), device)
    pinned, sizes, image_dtype = None, (None,), "float32"
    precision = getattr(runtime, "precision", "fp32")
    if isinstance(runtime, BundleRuntime):
        graphs, pinned = runtime.manifest.graphs, runtime.manifest.pinned
        sizes, image_dtype = graphs[-1].compared_sizes, graphs[0].image_dtype
    chosen = photographs_or_own(photographs)
    return Verification(
        artefact=str(artefact),
        reference=str(reference),
        runtime=runtime.name,
        precision=precision,
        image_dtype=image_dtype,
        pinned=pinned,
        tolerance=tolerance_for(precision, image_dtype),
        records=tuple(record for size in sizes for record in compare(expected, runtime, chosen, batch, pinned, size)),
    )
