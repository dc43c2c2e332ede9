"""Every kernel of the plan as it is launched: what has to be compiled ahead of time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
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
