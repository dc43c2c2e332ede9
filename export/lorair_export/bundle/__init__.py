"""The bundle: a folder of artefacts, its manifest, and the accuracy check against the model."""

from lorair_export.bundle.manifest import (
    MANIFEST,
    Graph,
    Manifest,
    Profile,
    TensorSpec,
    file_sha256,
    named_runtime,
    new_bundle,
    read_bundle,
    refuse_existing,
    write_manifest,
)
from lorair_export.bundle.parity import TOLERANCES, Tolerance, check, compare, photograph_at, psnr_db, tolerance_for

__all__ = [
    "MANIFEST",
    "TOLERANCES",
    "Graph",
    "Manifest",
    "Profile",
    "TensorSpec",
    "Tolerance",
    "check",
    "compare",
    "file_sha256",
    "named_runtime",
    "new_bundle",
    "photograph_at",
    "psnr_db",
    "read_bundle",
    "refuse_existing",
    "tolerance_for",
    "write_manifest",
]
