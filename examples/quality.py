"""PSNR of a checkpoint on degraded photographs: as they come, without experts, routed, and with the degradation named.

python examples/quality.py PHOTOS [CHECKPOINT]
"""

import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import torch

import lorair
from lorair.data import PhotographFolder, ValidationPairs
from lorair.evaluation import psnr


def main() -> None:
    photographs = PhotographFolder(Path(sys.argv[1]))
    model = lorair.load(*sys.argv[2:3])
    print(f"{len(photographs)} photographs, at most 512 pixels a side, PSNR in dB\n")
    print("| degradation | input | without experts | routed | named | router right |")
    print("|---|---|---|---|---|---|")
    for name, figures in quality(model, ValidationPairs(photographs, model.degradations)).items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in figures) + " |")
    fixed = ValidationPairs(photographs, ("noise",), severity={"noise": {"sigma": 25}})
    print("| noise, sigma 25 | " + " | ".join(f"{value:.2f}" for value in quality(model, fixed)["noise"]) + " |")


@torch.inference_mode()
def quality(model: lorair.LoRAIR, pairs: ValidationPairs) -> dict[str, list[float]]:
    """By degradation the mean over photographs of the table's columns."""
    figures: defaultdict[str, list[list[float]]] = defaultdict(list)
    for index in range(len(pairs)):
        degraded, clean, label = pairs[index]
        name = pairs.degradations[int(label)]
        routing, pinned = model.route(degraded), model.pin(name)
        restored = (
            degraded,
            model.restorer(degraded, routing.prior, torch.zeros_like(routing.gates)),
            model.restorer(degraded, routing.prior, routing.gates),
            model.restorer(degraded, pinned.prior, pinned.gates),
        )
        right = bool(routing.gates.argmax() == model.degradations.index(name))
        figures[name].append([*(float(psnr(image, clean)) for image in restored), float(right)])
    return {name: [fmean(column) for column in zip(*rows, strict=True)] for name, rows in figures.items()}


if __name__ == "__main__":
    main()
