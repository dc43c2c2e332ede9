"""What a manifest says of a build: the engine and how it was made, and how a precision was reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lorair_export.bundle.parity import ParityRecord


@dataclass(frozen=True)
class EngineRecord:
    """How the engines of a bundle were built.

    Attributes:
        flavour: `tensorrt` for classic TensorRT, `rtx` for TensorRT-RTX.
        version: of the library.
        compute_capabilities: the GPUs that the plans are for, such as `8.6`.
        opt_level: the builder optimization level; null for the library's default.
        workspace_mib: the most scratch memory in MiB; null for all there is.
        hw_compat: on which further GPUs the plans run, as trtexec names it.
        version_compatible: whether later versions of TensorRT load the plans.
        refit: whether the weights can be changed.
        strip_weights: whether the plans are without weights, which loading adds from the ONNX graphs.
        timing_cache: the file of kernel timings that was read and written; null for none.
        build_s: how long the builds took, in seconds.
        parity: the engines compared with the model; empty where they were not run.
    """

    flavour: Literal["tensorrt", "rtx"]
    version: str
    compute_capabilities: tuple[str, ...]
    opt_level: int | None = None
    workspace_mib: int | None = None
    hw_compat: str = "none"
    version_compatible: bool = False
    refit: bool = False
    strip_weights: bool = False
    timing_cache: str | None = None
    build_s: float = 0.0
    parity: tuple[ParityRecord, ...] = ()


@dataclass(frozen=True)
class QuantizationRecord:
    """How restorers were quantised to 8 bits.

    Attributes:
        images: how many were calibrated on.
        keep_fp32: the regular expression of convolutions that were to stay in float32, by node name.
        kept: by graph, the blocks that stayed in float32 for the sake of accuracy.
        psnr_db: by graph, against the float32 graph on calibration images.
    """

    images: int
    keep_fp32: str
    kept: Mapping[str, tuple[str, ...]]
    psnr_db: Mapping[str, float]


@dataclass(frozen=True)
class Numerics:
    """What the restorers compute in, measured on the graphs themselves.

    Attributes:
        convolutions: by graph, the share of the convolutions' multiplications in each precision.
        weights_mib: by graph, the size of the restorer's constants in MiB.
        checked_by: what restored the photographs of `parity`.
        quantized: how 8 bits were reached; null in other precisions.
    """

    convolutions: Mapping[str, Mapping[str, float]]
    weights_mib: Mapping[str, float]
    checked_by: str
    quantized: QuantizationRecord | None = None
