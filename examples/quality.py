"""What a model does to photographs of 8 kinds of degradation at 3 severities, and to clean ones.

python examples/quality.py PHOTOS [--model CHECKPOINT] [--limit 48] [--json FILE]

PHOTOS holds the photographs that `lorair/weights/photographs.tsv` marks `val`, of packages that were never trained on.
The degradations are those of quality_recipes.py, apart from training's. PSNR in dB over the middle 256 pixels; `worse`
is the share of images whose PSNR fell by more than 0.1 and by more than 1 dB, routed. At the middle severity the image
is also restored without its first 8 rows and columns, and the two results compared where they overlap.
"""

import argparse
import csv
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch
from PIL import Image
from quality_recipes import RECIPES
from torch import Tensor

import lorair
from lorair.images import psnr, read_image
from lorair.model import Routing

SEVERITIES = ("mild", "middle", "strong")
SIDE, SHIFT = 256, 8
REDUCED = 384  # the short side of a photograph before the crop


@dataclass(frozen=True)
class Measured:
    """An image's PSNR as it came, restored by the router and with its degradation named, and what the router saw.

    `shifted` is the PSNR in dB between what is restored of the image and of the image without its first rows and
    columns, `same` whether the router saw the same in both; None where that was not measured.
    """

    photograph: str
    kind: str
    severity: str
    input: float
    routed: float
    named: float | None
    seen: str
    shifted: float | None = None
    same: bool | None = None


def photographs(folder: Path, limit: int) -> list[Path]:
    """The held-out photographs, at most `limit`, evenly from all packages."""
    table = Path(lorair.__file__).parent / "weights" / "photographs.tsv"
    with table.open(encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file, delimiter="\t") if row["split"] == "val"]
    limit = min(limit, len(names))
    return [folder / names[index * len(names) // limit] for index in range(limit)]


def middle(path: Path) -> np.ndarray:
    """The middle of a photograph, float32 [SIDE, SIDE, 3], after it was reduced."""
    image = Image.fromarray(read_image(path).uint8_pixels())
    scale = REDUCED / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)
    left, top = ((side - SIDE) // 2 for side in image.size)
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)), np.float32) / np.float32(255)


def tensor(image: np.ndarray) -> Tensor:
    """[H, W, 3] -> [1, 3, H, W], rounded to 8 bits."""
    levels = np.rint(image.clip(0, 1) * 255).astype(np.float32) / np.float32(255)
    return torch.from_numpy(levels).permute(2, 0, 1)[None].contiguous()


@torch.inference_mode()
def measure(model: lorair.LoRAIR, path: Path, kind: str, severity: int) -> Measured:
    clean = middle(path)
    rng = np.random.default_rng((severity, zlib.crc32(f"{path.name} {kind}".encode())))
    degraded = tensor(clean if kind == "clean" else RECIPES[kind](clean, severity, rng))
    target, routing = tensor(clean), model.route(degraded)
    restored = model.restorer(degraded, routing.prior, routing.gates).clamp(0, 1)
    named = model(degraded, kind) if kind in model.degradations else None
    shifted, same = shifted_by(model, degraded, restored, routing) if severity == 1 else (None, None)
    return Measured(
        photograph=path.name,
        kind=kind,
        severity="" if kind == "clean" else SEVERITIES[severity],
        input=decibels(degraded, target),
        routed=decibels(restored, target),
        named=None if named is None else decibels(named, target),
        seen=model.degradations[int(routing.gates.argmax())],
        shifted=shifted,
        same=same,
    )


def shifted_by(model: lorair.LoRAIR, degraded: Tensor, restored: Tensor, routing: Routing) -> tuple[float, bool]:
    """How near the restored image is to that of the image without its first rows and columns; the same expert?"""
    rest = degraded[..., SHIFT:, SHIFT:].contiguous()
    again = model.route(rest)
    of_rest = model.restorer(rest, again.prior, again.gates).clamp(0, 1)
    return decibels(of_rest, restored[..., SHIFT:, SHIFT:]), torch.equal(again.gates, routing.gates)


def decibels(image: Tensor, target: Tensor) -> float:
    """PSNR in 8 bits, at most 60 dB."""
    return min(float(psnr(image, target, rounded=True)), 60.0)


def row(name: str, images: Sequence[Measured], known: bool) -> str:
    fell = [image.input - image.routed for image in images]
    worse = "/".join(f"{100 * fmean(loss > least for loss in fell):.0f}" for least in (0.1, 1))
    named = f"{fmean(image.named for image in images if image.named is not None):.2f}" if known else ""
    right = f"{fmean(image.seen == image.kind for image in images):.2f}" if known else ""
    means = f"{fmean(image.input for image in images):.2f} | {fmean(image.routed for image in images):.2f}"
    return f"| {name} | {means} | {named} | {worse} | {right} |"


def report(measured: Sequence[Measured], known: Sequence[str]) -> str:
    lines = ["| | input | routed | named | worse, % | router right |", "|---|---|---|---|---|---|"]
    for kind in RECIPES:
        for severity in SEVERITIES:
            cell = [image for image in measured if (image.kind, image.severity) == (kind, severity)]
            lines.append(row(f"{kind}, {severity}", cell, kind in known))
    lines.append(row("the model's degradations", [image for image in measured if image.kind in known], True))
    lines.append(row("all degraded", [image for image in measured if image.kind != "clean"], False))
    clean = [image.routed for image in measured if image.kind == "clean"]
    lines.append(f"\nClean photographs: median {median(clean):.1f} dB, worst {min(clean):.1f}.")
    shifts = [image.shifted for image in measured if image.shifted is not None]
    same = fmean(bool(image.same) for image in measured if image.same is not None)
    lines.append(f"Shifted by {SHIFT} pixels: median {median(shifts):.1f} dB, the same expert for {100 * same:.0f} %.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=48, help="number of photographs")
    parser.add_argument("--json", type=Path, help="write every image's figures here")
    options = parser.parse_args()
    model = lorair.load(options.model, device="cpu")
    paths = photographs(options.photographs, options.limit)
    cells = [(kind, severity) for kind in RECIPES for severity in range(3)] + [("clean", 0)]
    measured = [measure(model, path, kind, severity) for path in paths for kind, severity in cells]
    if options.json:
        options.json.write_text(json.dumps([asdict(image) for image in measured], indent=1), encoding="utf-8")
    print(f"{len(paths)} photographs, {SIDE} pixels\n\n{report(measured, model.degradations)}")


if __name__ == "__main__":
    main()
