"""The whole job on real photographs: restore, export both ways, check, measure, and show it in one folder.

Run by ``make demo``; everything it does is a command that anyone can give, printed before it runs.
"""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from lorair.degradations import degrade, to_uint8
from lorair.images import psnr, read_image
from lorair.photographs import degraded_examples, examples

KINDS = ("noise", "rain", "haze", "snow", "jpeg", "low_light")
CELL, CAPTION, COLUMNS = 480, 28, 2


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    if folder.exists():
        sys.exit(f"{folder} exists; remove it or name another folder")
    started = time.perf_counter()
    clean = make_inputs(folder / "input")
    seen = [
        json.loads(line)
        for line in run("lorair restore", folder / "input", "-o", folder / "restored", "--json").splitlines()
    ]
    captions = {record["source"]: caption(record, clean) for record in seen}
    before_after(folder, captions).save(folder / "before-after.jpg", quality=92)
    onnx, rtx = folder / "bundle-onnx", folder / "bundle-rtx"
    run("lorair-export onnx --ckpt default -o", onnx)
    run("lorair-export trt --backend rtx --ckpt", onnx, "-o", rtx)
    run("lorair restore", folder / "input", "-o", folder / "restored-onnx", "--model", onnx)
    run("lorair-bench latency --model default --model", onnx, "--size 256x256 --size 512x512 -o", folder / "latency")
    levels = {
        path.name: largest_difference(path, folder / "restored-onnx" / path.name)
        for path in sorted((folder / "restored").iterdir())
    }
    (folder / "report.md").write_text(report(captions, levels, rtx, time.perf_counter() - started))
    print(f"\n{folder}/before-after.jpg and {folder}/report.md are for you to look at")


def make_inputs(folder: Path) -> dict[str, np.ndarray]:
    """Degrade each clean example in its own way, add the truly degraded ones; clean pixels by file name."""
    folder.mkdir(parents=True)
    clean = {}
    for seed, (path, kind) in enumerate(zip(examples(), KINDS, strict=True)):
        pixels = pixels_of(path)
        degraded = degrade(pixels.astype(np.float32) / 255, kind, np.random.default_rng(seed))
        name = f"{kind}-{path.stem}.png"
        Image.fromarray(to_uint8(degraded)).save(folder / name)
        clean[name] = pixels
    for path in degraded_examples():
        Image.open(path).save(folder / f"real-{path.stem}.png")
    return clean


def run(command: str, *arguments: str | Path) -> str:
    """Give one command of ours, its name and arguments as a user would type them; what it printed."""
    words = [word for part in (command, *map(str, arguments)) for word in shlex.split(part)]
    print("$", shlex.join(words), flush=True)
    program = Path(sys.executable).with_name(words[0])
    return subprocess.run([program, *words[1:]], check=True, stdout=subprocess.PIPE, text=True).stdout


def pixels_of(path: Path) -> np.ndarray:
    return read_image(path).uint8_pixels()


def caption(record: dict, clean: dict[str, np.ndarray]) -> str:
    """What the model saw, and the PSNR before and after where the clean photograph is known."""
    source, target = Path(record["source"]), Path(record["target"])
    seen = max(record["gates"], key=record["gates"].get)
    if source.name not in clean:
        return f"{source.stem}: seen as {seen}"
    right = torch.tensor(clean[source.name])[None] / 255
    before, after = (float(psnr(torch.tensor(pixels_of(path))[None] / 255, right)) for path in (source, target))
    return f"{source.stem}: seen as {seen}, {before:.1f} to {after:.1f} dB"


def before_after(folder: Path, captions: dict[str, str]) -> Image.Image:
    """One sheet: of each photograph the left half as it came in, the right half restored."""
    rows = -(-len(captions) // COLUMNS)
    height = CELL * 9 // 16
    sheet = Image.new("RGB", (COLUMNS * CELL, rows * (height + CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (source, text) in enumerate(captions.items()):
        x, y = index % COLUMNS * CELL, index // COLUMNS * (height + CAPTION)
        before, after = (
            fill(Image.open(path), (CELL - 4, height)) for path in (source, folder / "restored" / Path(source).name)
        )
        after.paste(before.crop((0, 0, CELL // 2, height)))
        sheet.paste(after, (x + 2, y))
        draw.line((x + 2 + CELL // 2, y, x + 2 + CELL // 2, y + height), "white", 2)
        draw.text((x + 6, y + height + 4), text, "black", ImageFont.load_default(15))
    return sheet


def fill(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image's centre at the asked size."""
    scale = max(size[0] / image.width, size[1] / image.height)
    large = image.convert("RGB").resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )
    left, top = (large.width - size[0]) // 2, (large.height - size[1]) // 2
    return large.crop((left, top, left + size[0], top + size[1]))


def largest_difference(one: Path, other: Path) -> int:
    """In levels of 255."""
    return int(np.abs(pixels_of(one).astype(int) - pixels_of(other)).max())


def report(captions: dict[str, str], levels: dict[str, int], rtx: Path, seconds: float) -> str:
    engines = ", ".join(
        f"`{path.name}` ({path.stat().st_size / 2**20:.1f} MiB)" for path in sorted(rtx.glob("*.engine"))
    )
    return f"""# What the demo did, in {seconds:.0f} s

Each photograph: the degradation that the model saw, PSNR against the clean photograph before and after.

{chr(10).join(f"- {text}" for text in captions.values())}

Restored through torch and through ONNX Runtime, the images differ by at most {max(levels.values())} of 255 levels.
TensorRT-RTX built {engines}; it runs on an RTX GPU. Latencies are in `latency/`.

Next, on your own photographs:

    lorair restore PHOTOS -o RESTORED
    lorair train all PHOTOS/train --val PHOTOS/val -o runs/mine
    lorair-export trt --ckpt runs/mine/best.pt -o bundle
"""


if __name__ == "__main__":
    main()
