"""Whether an artefact restores what the checkpoint restores, in image terms, on photographs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lorair.images import psnr, read_image
from lorair.inference import Runtime
from lorair_export.errors import ParityError

EQUAL_DB = 200.0
EIGHT_BIT_DB = 55.0
ADVICE = "nothing was written. Try --precision fp32 or another --lowering, and report it if that does not help"


@dataclass(frozen=True)
class Tolerance:
    """What a comparison must keep to. PSNR sees what is wrong everywhere, levels what is wrong in one place.

    Attributes:
        psnr_db: the least, over a batch.
        levels: how far a value of a pixel may be off, in levels of 255; 8 bits leave single values far off.
        gates: how far a gate may be off.
    """

    psnr_db: float
    levels: float
    gates: float


TOLERANCES = {
    "fp32": Tolerance(psnr_db=80, levels=1, gates=1e-3),
    "fp16": Tolerance(psnr_db=60, levels=2, gates=1e-3),
    "bf16": Tolerance(psnr_db=45, levels=32, gates=1e-3),
    "int8": Tolerance(psnr_db=40, levels=64, gates=1e-3),
    "fp8": Tolerance(psnr_db=40, levels=64, gates=1e-3),
}


@dataclass(frozen=True)
class ParityRecord:
    """One batch of photographs restored by both.

    Attributes:
        photographs: the names of their files.
        height: of the images in pixels.
        width: of the images in pixels.
        psnr_db: of the float outputs over the batch; 200 where they are equal.
        max_levels: the largest difference of a value, in levels of 255.
        gates_difference: the largest difference of a gate.
        finite: false where the artefact gave a NaN or an infinity.
    """

    photographs: tuple[str, ...]
    height: int
    width: int
    psnr_db: float
    max_levels: float
    gates_difference: float
    finite: bool


def compare(
    reference: Runtime,
    runtime: Runtime,
    photographs: Sequence[Path],
    batch: int = 1,
    pinned: str | None = None,
    shape: tuple[int, int] | None = None,
) -> list[ParityRecord]:
    """Restore photographs by both: each one at least once, each size of `parity_sizes` at least once.

    Args:
        reference: what is right, normally torch.
        runtime: what is to be checked; its `size_range` bounds the sizes.
        photographs: image files, at least one; scaled and cropped to size.
        batch: images per call; different photographs where there are enough.
        pinned: the degradation that both restore, None to let each route.
        shape: the one height and width that the runtime takes, None for any in its `size_range`.
    """
    if not photographs:
        raise ValueError("parity needs at least one photograph; name some with --photos")
    sizes = [shape] if shape else parity_sizes(runtime.size_range)
    records: list[ParityRecord] = []
    for turn in range(max(len(sizes), -(-len(photographs) // batch))):
        chosen = [photographs[(turn * batch + i) % len(photographs)] for i in range(batch)]
        height, width = sizes[turn % len(sizes)]
        images = torch.stack([photograph_at(path, height, width) for path in chosen])
        known = None if pinned is None else reference.pin(pinned, batch)
        records.append(_record(chosen, reference.restore(images, known), runtime.restore(images, None)))
    return records


def tolerance_for(precision: str, io: str = "float32") -> Tolerance:
    """What a precision must keep to. Images in whole levels (`io` uint8) need at most `EIGHT_BIT_DB`, as rounding
    by itself leaves 59 dB in the mean."""
    tolerance = TOLERANCES[precision]
    return replace(tolerance, psnr_db=min(tolerance.psnr_db, EIGHT_BIT_DB)) if io == "uint8" else tolerance


def check(records: Sequence[ParityRecord], precision: str, io: str = "float32", advice: str = ADVICE) -> None:
    """Raise ParityError, with what to do, where a record misses `tolerance_for`."""
    tolerance = tolerance_for(precision, io)
    for record in records:
        alike = record.psnr_db >= tolerance.psnr_db and record.max_levels <= tolerance.levels
        if record.finite and alike and record.gates_difference <= tolerance.gates:
            continue
        finding = (
            f"{record.psnr_db:.1f} dB (at least {tolerance.psnr_db:g} required), {record.max_levels:.1f} of 255 levels "
            f"(at most {tolerance.levels:g}), gates off by {record.gates_difference:.1e} (at most {tolerance.gates:g})"
        )
        raise ParityError(
            f"accuracy check failed at {record.height}x{record.width} on {', '.join(record.photographs)}: "
            f"{finding if record.finite else 'the output holds NaN or infinity'}; {advice}"
        )


def parity_sizes(size_range: tuple[int, int] | None) -> list[tuple[int, int]]:
    """Heights and widths to compare at: a square, an oblong one, and one that is no multiple of 16."""
    low, high = size_range or (1, 448)
    square = min(256, high)
    wanted = [(square, square), (square * 3 // 4, min(448, high)), (square * 5 // 6 | 1, square * 3 // 5 | 1)]
    sizes = [(min(max(h, low), high), min(max(w, low), high)) for h, w in wanted]
    return list(dict.fromkeys(sizes))


def photograph_at(path: Path, height: int, width: int) -> Tensor:
    """A photograph scaled and centre-cropped to float32 `[3, height, width]` in [0, 1]."""
    pixels = ImageOps.fit(Image.fromarray(read_image(path).uint8_pixels()), (width, height))
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 255


def psnr_db(expected: Tensor, restored: Tensor) -> float:
    """PSNR of float images over the batch; `EQUAL_DB` where they are equal, 0 where one is not finite."""
    decibels = psnr(restored[None], expected[None]).item()
    return min(EQUAL_DB, decibels) if decibels > -math.inf else 0.0


def _record(paths: Sequence[Path], reference: tuple[Tensor, Tensor], runtime: tuple[Tensor, Tensor]) -> ParityRecord:
    (expected, expected_gates), (restored, gates) = reference, runtime
    finite = bool(restored.isfinite().all() and gates.isfinite().all())
    return ParityRecord(
        photographs=tuple(path.name for path in paths),
        height=expected.shape[-2],
        width=expected.shape[-1],
        psnr_db=psnr_db(expected, restored),
        max_levels=255 * (restored - expected).abs().max().item() if finite else 255.0,
        gates_difference=(gates - expected_gates).abs().max().item() if finite else 1.0,
        finite=finite,
    )
