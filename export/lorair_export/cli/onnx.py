"""The command `lorair-export onnx`."""

from lorair_export.cli.graph import (
    CkptOption,
    ClipOption,
    ImageTypeOption,
    LoweringChoice,
    LoweringOption,
    OpsetOption,
    PrecisionOption,
    RoutingOption,
)
from lorair_export.cli.output import DryRun, Json, LogFile, OutputOption, Overwrite, Quiet, opened_output
from lorair_export.cli.photos import CheckOption, PhotosOption, photographs_in
from lorair_export.cli.precision import CalibDataOption, CalibSizeOption, KeepOption, calibration_from
from lorair_export.cli.shapes import (
    BatchOption,
    ImageSizeOption,
    MaxBatchOption,
    MaxSizeOption,
    MinSizeOption,
    TileOption,
    fixed_shape,
    free_batch,
    free_sizes,
)


def onnx(
    output: OutputOption,
    ckpt: CkptOption = "default",
    precision: PrecisionOption = None,
    imgsz: ImageSizeOption = None,
    batch: BatchOption = None,
    tile: TileOption = None,
    overwrite: Overwrite = False,
    min_size: MinSizeOption = None,
    max_size: MaxSizeOption = None,
    max_batch: MaxBatchOption = None,
    routing: RoutingOption = None,
    lowering: LoweringOption = LoweringChoice.auto,
    io: ImageTypeOption = None,
    opset: OpsetOption = None,
    clip_weights: ClipOption = None,
    calib_data: CalibDataOption = None,
    calib_size: CalibSizeOption = None,
    keep_fp32: KeepOption = "",
    photos: PhotosOption = None,
    check: CheckOption = True,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Export a checkpoint as ONNX: by default one graph, image in, restored image and gates out.

    --routing split makes a router and a restorer, experts a router and a plain network per degradation,
    pinned:DEGRADATION the plain network of one. The bundle appears only if ONNX Runtime restores the photographs as
    the checkpoint does, at three sizes.

    Exit codes: 0 ok, 1 no such checkpoint, 2 wrong usage, 3 a package is missing, 4 no graph, 6 outputs differ.
    """
    from lorair_export.cli.exported import give_exported, plan_lines
    from lorair_export.pipeline import CheckpointSource, OnnxExport
    from lorair_export.spec import GraphRequest, spec_from_request

    with opened_output(quiet, json, log_file) as out:
        shape, images = fixed_shape(imgsz, tile), free_batch(max_batch, batch, tile)
        sizes, fixed_batch = free_sizes(min_size, max_size, shape), batch is not None or tile is not None
        request = GraphRequest(lowering, precision, routing, io, opset)
        spec, choices = spec_from_request(request, images, sizes, shape, fixed_batch)
        calibration = calibration_from(precision, calib_data, calib_size, keep_fp32)
        photographs = photographs_in(photos, check)
        job = OnnxExport(CheckpointSource(ckpt, clip_weights), output, spec, overwrite)
        out.say(*choices)
        if dry_run:
            plan = job.plan()
            out.give(plan, plan_lines(plan))
        else:
            give_exported(out, output, lambda on_step, _: job.run(photographs, calibration, on_step))
