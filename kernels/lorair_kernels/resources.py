"""Registers, spills and shared memory of every kernel of the plan, compiled ahead of time; no GPU is needed.

``python -m lorair_kernels.resources`` prints them for each architecture.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import prod
from multiprocessing import get_context
from typing import Any

from lorair_kernels.launch import (
    ATTENTION,
    DEPTHWISE,
    DEPTHWISE_GRAD,
    FEED_FORWARD,
    GATED_LOWRANK,
    GRAD_A,
    GRAD_B,
    GROUPED_SUM,
    LOCAL_MEAN,
    MERGE,
    POINTWISE,
    WEIGHT_GRAD,
    Row,
    Table,
    Tile,
    TileT,
)
from lorair_kernels.reference import EPS

# Shared memory that one program may take, in bytes, by compute capability (CUDA C++ programming guide).
SHARED_LIMIT = {80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448, 120: 101_376}
STORAGE = {"fp16": 2, "bf16": 2, "fp32": 4}
KERNELS: tuple[tuple[str, str, Table[Any]], ...] = (
    ("depthwise_gate_triton", "depthwise_gate", DEPTHWISE),
    ("depthwise_gate_triton", "gate_grad", DEPTHWISE_GRAD),
    ("depthwise_gate_triton", "depthwise_grad", DEPTHWISE_GRAD),
    ("grouped_weight_grad_triton", "grouped_weight_grad", WEIGHT_GRAD),
    ("attention_weights_triton", "attention_weights", ATTENTION),
    ("local_mean_triton", "local_mean", LOCAL_MEAN),
    ("gated_lowrank_triton", "gated_lowrank", GATED_LOWRANK),
)
# Before a block's first half and after it, before its second; the restorer's down and up convolutions.
POINTWISE_FORMS: tuple[dict[str, object], ...] = tuple(
    {"NORMALISED": normalised, "GATED": gated, "RESIDUAL": residual, "SQUARES": squares, "EPS": EPS}
    for normalised, gated, residual, squares in (
        (True, False, False, ""),
        (False, False, True, ""),
        (True, True, False, ""),
        (False, False, False, "read"),
        (False, False, True, "write"),
    )
)
SQUARES = ("read", "write")
SIZES = ("tokens", "channels", "outputs", "height", "width")
STORED = ("x", "weight", "w4", "w5", "a", "b", "following", "residual", "y", "d", "dx", "dy")


@dataclass(frozen=True)
class Variant:
    """A kernel as the plan launches it: the types of its arguments and the values of its constants."""

    module: str
    kernel: str
    storage: str
    tile: Tile
    flags: Mapping[str, object]

    @property
    def label(self) -> str:
        sides = "x".join(str(length) for length in self.tile.sides.values())
        forms = (
            name.lower() if on is True else str(on) for name, on in self.flags.items() if on is True or on in SQUARES
        )
        return " ".join([self.kernel, self.storage, sides, *forms])

    def argument_type(self, name: str) -> str:
        """Triton's name for an argument's type; the merge kernels read float32 whatever they write."""
        if name in ("scale", "per_pixel", "per_window"):
            return "fp32"
        if name in ("numel", "sets", "images", "length", "window", "active", "rank", *SIZES):
            return "i32"
        pointers = {"index": "i32", "table": "i64", "out": self.storage}
        stored = self.module != "merge_triton" and name in STORED
        return "*" + (self.storage if stored else pointers.get(name, "fp32"))


@dataclass(frozen=True)
class Resources:
    """What one compiled variant takes: registers and bytes of spills per thread, bytes of shared memory per program."""

    label: str
    capability: int
    registers: int
    spilled: int
    shared: int


def plan_variants(storages: tuple[str, ...] = tuple(STORAGE)) -> Iterator[Variant]:
    """Every kernel and tile of the plan, in the most demanding forms that the block and the experts use."""
    for table, written in ((MERGE, storages), (GRAD_A, ("fp32",)), (GRAD_B, ("fp32",))):
        for storage in written:
            yield from (Variant("merge_triton", table.kernel, storage, row.tile, {"EXPERTS": 3}) for row in table.rows)
    yield from (Variant("grouped_weight_grad_triton", "grouped_sum", "fp32", r.tile, {}) for r in GROUPED_SUM.rows)
    for storage in storages:
        for module, kernel, table in KERNELS:
            for row in rows_of(table, storage):
                yield Variant(module, kernel, storage, row.tile, {})
        for row in rows_of(FEED_FORWARD, storage):
            flags = {"C": row.tile.channels, "EPS": EPS}
            yield Variant("feed_forward_triton", "feed_forward", storage, row.tile, flags)
        for row in rows_of(POINTWISE, storage):
            for flags in POINTWISE_FORMS:
                if row.gated in (None, flags["GATED"]):
                    yield Variant("pointwise_triton", POINTWISE.kernel, storage, row.tile, flags)


def one_of_each(variants: Iterable[Variant]) -> list[Variant]:
    """The variant of each kernel with the largest tile."""
    largest: dict[str, Variant] = {}
    for variant in variants:
        known = largest.get(variant.kernel)
        if known is None or prod(variant.tile.sides.values()) > prod(known.tile.sides.values()):
            largest[variant.kernel] = variant
    return list(largest.values())


def rows_of(table: Table[TileT], storage: str) -> Iterator[Row[TileT]]:
    """The rows that a storage takes: those made for the fewest bytes that hold it."""
    fewest = min(row.itemsize for row in table.rows if row.itemsize >= STORAGE[storage])
    return (row for row in table.rows if row.itemsize == fewest)


def compile_variant(variant: Variant, capability: int) -> Resources:
    """Compile for ``capability`` (80 for sm_80) and read the result's resources from the binary."""
    import importlib

    from triton import compile, knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(importlib.import_module(f"lorair_kernels.{variant.module}"), f"{variant.kernel}_kernel")
    arguments = variant.tile.arguments(**variant.flags)
    constants = {name: value for name, value in arguments.items() if name.isupper()}
    options = {name: value for name, value in arguments.items() if not name.isupper()}
    signature: dict[str, str] = {}
    divisible: dict[tuple[int], list[list[object]]] = {}
    for place, name in enumerate(function.arg_names):
        signature[name] = "constexpr" if name in constants else variant.argument_type(name)
        if signature[name].startswith("*") or name in SIZES:
            divisible[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(function, signature, constants, divisible)
    compiled = compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    fields = dict(field.split(":", 1) for field in usage.split() if field.startswith(("REG:", "STACK:", "LOCAL:")))
    spilled = int(fields["STACK"]) + int(fields["LOCAL"])
    return Resources(variant.label, capability, int(fields["REG"]), spilled, compiled.metadata.shared)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lorair_kernels.resources", description=__doc__)
    parser.add_argument(
        "--capability",
        type=int,
        nargs="+",
        choices=SHARED_LIMIT,
        default=list(SHARED_LIMIT),
        help="architectures, as 90",
    )
    parser.add_argument("--one-each", action="store_true", help="only one variant of each kernel, in float16")
    options = parser.parse_args()
    variants = one_of_each(plan_variants(("fp16",))) if options.one_each else list(plan_variants())
    print(f"{'part':8}{'registers':>9}{'spilled B':>11}{'shared KB':>11}{'limit KB':>10}  kernel, storage, tile, form")
    jobs = [(variant, capability) for variant in variants for capability in options.capability]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for r in pool.map(compile_variant, *zip(*jobs, strict=True)):
            limit = SHARED_LIMIT[r.capability] / 1024
            numbers = f"{r.registers:9}{r.spilled:11}{r.shared / 1024:11.1f}{limit:10.1f}"
            print(f"sm_{r.capability:<5}{numbers}  {r.label}", flush=True)


if __name__ == "__main__":
    main()
