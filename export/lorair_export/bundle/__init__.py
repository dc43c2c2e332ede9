"""The bundle: a folder of artefacts, its manifest, and the accuracy check against the model."""

from lorair_export.bundle.folder import MANIFEST, file_sha256, new_bundle, reject_existing
from lorair_export.bundle.graphs import Graph, Profile, TensorSpec
from lorair_export.bundle.manifest import Manifest, named_runtime, read_bundle, write_manifest
from lorair_export.bundle.parity import (
    TOLERANCES,
    ParityRecord,
    Tolerance,
    check,
    compare,
    photograph_at,
    psnr_db,
    tolerance_for,
)
from lorair_export.bundle.records import EngineRecord, Numerics, QuantizationRecord

__all__ = [
    "MANIFEST",
    "TOLERANCES",
    "EngineRecord",
    "Graph",
    "Manifest",
    "Numerics",
    "ParityRecord",
    "Profile",
    "QuantizationRecord",
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
    "reject_existing",
    "tolerance_for",
    "write_manifest",
]
