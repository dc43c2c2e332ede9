"""Registers, spills and shared memory of every kernel of the plan, compiled ahead of time; no GPU is needed.

`python -m lorair_kernels.resources` prints them for each architecture.
"""

import argparse
import importlib
import subprocess
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from lorair_kernels.variants import SIZES, Variant, one_of_each, plan_variants

# Shared memory that one program may take, in bytes, by compute capability (CUDA C++ programming guide).
SHARED_LIMIT = {80: 166_912, 86: 101_376, 89: 101_376, 90: 232_448, 100: 232_448, 120: 101_376}


@dataclass(frozen=True)
class Resources:
    """What one compiled variant takes: registers and bytes of spills per thread, bytes of shared memory per program."""

    label: str
    capability: int
    registers: int
    spilled: int
    shared: int


def compile_variant(variant: Variant, capability: int) -> Resources:
    """Compile for `capability` (80 for sm_80) and read the result's resources from the binary."""
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
