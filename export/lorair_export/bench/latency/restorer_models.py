"""The forms of a restorer to time without its router: a checkpoint, with random weights of a preset, and its graphs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from lorair.checkpoints import Checkpoint, checkpoint_of, read_checkpoint, write_checkpoint
from lorair.errors import RuntimeUnavailableError
from lorair.inference import Runtime, open_runtime
from lorair.model import PRESETS, LoRAIR, ModelConfig
from lorair_export.bench.latency.cases import Case
from lorair_export.bench.random_restorer import random_restorer
from lorair_export.bundle import file_sha256, read_bundle
from lorair_export.errors import ExportError
from lorair_export.pipeline import export_onnx
from lorair_export.quantization import Calibration, bundle_in_8_bits
from lorair_export.spec import GraphSpec, Lowering, RoutingForm, chosen_lowering

# The published form is first: the others' times are compared with its. ONNX Runtime computes 8-bit graphs in float32
# (see session_options), so only OpenVINO runs one.
FORMS: Final = {
    "published": "published:{checkpoint}",
    "torch": "{checkpoint}",
    "torch.compile": "compile:{checkpoint}",
    "ONNX Runtime": "{bundle}",
    "OpenVINO": "openvino:{bundle}",
    "OpenVINO bf16": "openvino-bf16:{bundle}",
    "OpenVINO int8": "openvino:{int8}",
}
# Images of 192 pixels, the package's photographs.
CALIBRATED_ON: Final = 8


def prepared(
    model: str,
    folder: Path,
    cases: Sequence[Case],
    local_window: str | None,
    names: Sequence[str],
    on_step: Callable[[str], None],
) -> dict[str, str]:
    """Models to open, by their names in the report. Checkpoint and graphs are made in `folder`, or reused where they
    fit.

    Args:
        model: a preset, for random weights, or a checkpoint.
        folder: made where it does not exist.
        cases: what the graphs must take.
        local_window: pixels, `global`, or None for the model's own.
        names: of `FORMS`.
        on_step: called with what begins.

    Raises:
        ValueError: a name or the window is unknown.
    """
    if unknown := [name for name in names if name not in FORMS]:
        raise ValueError(f"--form takes {', '.join(FORMS)}; got {', '.join(unknown)}")
    checkpoint = random_checkpoint(PRESETS[model]) if model in PRESETS else read_checkpoint(model)
    if local_window is not None:
        checkpoint = pooling_over(checkpoint, local_window)
    weights, bundle, int8 = folder / "checkpoint.safetensors", folder / "bundle", folder / "int8"
    write_checkpoint(weights, checkpoint)
    spec = spec_for(checkpoint.config, cases)
    forms = {name: FORMS[name] for name in names}
    if spec.lowering is Lowering.MERGED:  # its kernels are computed in the graph, and so not quantised
        forms = {name: form for name, form in forms.items() if "{int8}" not in form}
    asked = "".join(forms.values())
    if ("{bundle}" in asked or "{int8}" in asked) and not fits(bundle, weights, spec):
        export_onnx(weights, bundle, spec, photographs=[], overwrite=True, on_step=on_step)
    if "{int8}" in asked and not fits(int8, weights, spec):
        on_step("quantising")
        bundle_in_8_bits(bundle, int8, "int8", Calibration(size=CALIBRATED_ON))
    return {name: form.format(checkpoint=weights, bundle=bundle, int8=int8) for name, form in forms.items()}


def opened(targets: Mapping[str, str], device: str, on_step: Callable[[str], None]) -> dict[str, Runtime]:
    """Those that this machine can run; `on_step` is called with the reason of those that are left out."""
    runtimes: dict[str, Runtime] = {}
    for name, target in targets.items():
        on_step(f"opening {name}")
        try:
            runtimes[name] = open_runtime(target, device)
        except RuntimeUnavailableError as error:
            on_step(f"left out {name}: {error}")
    return runtimes


def random_checkpoint(config: ModelConfig) -> Checkpoint:
    """A preset's restorer with random weights behind a router whose tower has one small layer, because it is not timed.

    The prior has the preset's length.
    """
    tower = replace(config.router.tower, image_size=32, patch_size=16, width=32, layers=1, head_width=32)
    small = replace(config, router=replace(config.router, tower=tower))
    torch.manual_seed(0)
    model = LoRAIR(small)
    model.restorer = random_restorer(small)
    return checkpoint_of(model)


def pooling_over(checkpoint: Checkpoint, local_window: str) -> Checkpoint:
    """The checkpoint with another window of channel attention; ValueError for neither pixels nor global."""
    if local_window != "global" and not (local_window.isdecimal() and int(local_window) > 0):
        raise ValueError(f"--local-window is a number of pixels or global; got {local_window!r}")
    window = None if local_window == "global" else int(local_window)
    config = checkpoint.config
    return replace(checkpoint, config=replace(config, restorer=replace(config.restorer, local_window=window)))


def spec_for(config: ModelConfig, cases: Sequence[Case]) -> GraphSpec:
    """A plain network per expert where an image has one, else one network of the lowering for the batch."""
    batch = max(case.batch for case in cases)
    form = RoutingForm.EXPERTS if config.router.top_k == 1 else RoutingForm.SPLIT
    sides = [side for case in cases for side in (case.height, case.width)]
    lowering, _ = chosen_lowering("auto", batch, form)
    return GraphSpec(lowering, max_batch=batch, min_size=min(16, *sides), max_size=max(sides), routing=form)


def fits(bundle: Path, checkpoint: Path, spec: GraphSpec) -> bool:
    """Whether a bundle was made of this checkpoint and takes what the spec takes."""
    try:
        manifest = read_bundle(bundle)
    except ExportError:
        return False
    low, high = manifest.size_range
    enough = manifest.max_batch >= spec.max_batch and low <= spec.min_size and spec.max_size <= high
    return enough and manifest.checkpoint == file_sha256(checkpoint)
