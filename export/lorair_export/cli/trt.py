"""The command `lorair-export trt`."""

from pathlib import Path

from lorair_export.cli.engine import (
    BackendChoice,
    BackendOption,
    ComputeCapabilityOption,
    HwCompatChoice,
    HwCompatOption,
    OptLevelOption,
    RefitOption,
    SourceOption,
    StripOption,
    TimingCacheOption,
    VersionCompatibleOption,
    WorkspaceOption,
)
from lorair_export.cli.graph import (
    ClipOption,
    ImageTypeOption,
    LoweringChoice,
    LoweringOption,
    PrecisionOption,
    RoutingOption,
)
from lorair_export.cli.output import DryRun, Json, LogFile, OutputOption, Overwrite, Quiet, opened_output
from lorair_export.cli.photos import CheckOption, PhotosOption, photographs_in
from lorair_export.cli.precision import CalibDataOption, CalibSizeOption, KeepOption, calibration_from
from lorair_export.cli.shapes import (
    BatchOption,
    ImageSizeOption,
    MaxShapeOption,
    MinShapeOption,
    OptShapeOption,
    TileOption,
    fixed_shape,
    profiles_from,
)


def trt(
    output: OutputOption,
    ckpt: SourceOption = "default",
    backend: BackendOption = BackendChoice.auto,
    precision: PrecisionOption = None,
    imgsz: ImageSizeOption = None,
    batch: BatchOption = None,
    tile: TileOption = None,
    overwrite: Overwrite = False,
    min_shape: MinShapeOption = None,
    opt_shape: OptShapeOption = None,
    max_shape: MaxShapeOption = None,
    routing: RoutingOption = None,
    lowering: LoweringOption = LoweringChoice.auto,
    io: ImageTypeOption = None,
    clip_weights: ClipOption = None,
    compute_capability: ComputeCapabilityOption = None,
    workspace: WorkspaceOption = None,
    calib_data: CalibDataOption = None,
    calib_size: CalibSizeOption = None,
    keep_fp32: KeepOption = "",
    photos: PhotosOption = None,
    check: CheckOption = True,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
    opt_level: OptLevelOption = None,
    hw_compat: HwCompatOption = HwCompatChoice.none,
    version_compatible: VersionCompatibleOption = False,
    refit: RefitOption = False,
    strip_weights: StripOption = False,
    timing_cache: TimingCacheOption = None,
) -> None:
    """Export a checkpoint, or the bundle of its ONNX graph, as a TensorRT engine.

    Without shapes the engine takes one image of 64 to 512 pixels a side; larger ones are restored in tiles. One fixed
    size takes a fraction of the GPU memory of a range. The bundle appears only if ONNX Runtime restores the
    photographs with the graph as the checkpoint does, and so does the engine where a GPU that it is built for is there.

    Exit codes: 0 ok, 1 no such checkpoint, 2 wrong usage, 3 a package or GPU is missing, 4 no graph, 5 no engine,
    6 outputs differ.
    """
    from lorair_export.cli.exported import give_engine_export
    from lorair_export.pipeline import prepare_trt
    from lorair_export.spec import GraphRequest
    from lorair_export.tensorrt import EngineOptions, EngineSpec

    with opened_output(quiet, json, log_file) as out:
        profiles = profiles_from(min_shape, opt_shape, max_shape, fixed_shape(imgsz, tile), batch)
        options = EngineOptions(hw_compat.value, version_compatible, refit, strip_weights, timing_cache)
        spec = EngineSpec(profiles, tuple(compute_capability or ()), opt_level, workspace, options=options)
        calibration = calibration_from(None if Path(ckpt).is_dir() else precision, calib_data, calib_size, keep_fp32)
        photographs, request = photographs_in(photos, check), GraphRequest(lowering, precision, routing, io)
        job = prepare_trt(ckpt, output, spec, request, backend.value, clip_weights, overwrite)
        give_engine_export(out, job, dry_run, photographs, calibration)
