"""Which TensorRT is installed, and what it can do: decided by its attributes, never by its version."""

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, cast

from lorair.errors import RuntimeUnavailableError
from lorair_export.tensorrt.api import Builder, Module
from lorair_export.tensorrt.log import library_log

Backend = Literal["auto", "tensorrt", "rtx"]

IMPORT_NAMES: Final = {"tensorrt": ("tensorrt",), "rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}


@dataclass(frozen=True)
class Flavour:
    """A TensorRT found on this machine.

    Classic TensorRT builds for the GPU it runs on; TensorRT-RTX builds ahead of time for named compute
    capabilities and leaves the choice of kernels to the GPU that loads the plan.
    """

    module: Module

    @property
    def version(self) -> str:
        return self.module.__version__

    @cached_property
    def compute_capabilities(self) -> tuple[str, ...]:
        """What a plan may be built for, as `("8.6", ...)`; empty: only the GPU of this machine."""
        if not hasattr(self.module, "ComputeCapability"):
            return ()
        names = [name[2:] for name in self.module.ComputeCapability.__members__ if name.startswith("SM")]
        return tuple(f"{digits[:-1]}.{digits[-1]}" for digits in sorted(names, key=int))

    @property
    def name(self) -> Literal["tensorrt", "rtx"]:
        return "rtx" if self.compute_capabilities else "tensorrt"

    @property
    def needs_strong_typing_flag(self) -> bool:
        """Where a builder can still be asked for fp16, networks are weakly typed by default."""
        return "FP16" in self.module.BuilderFlag.__members__

    def network_flags(self) -> int:
        """The flags of a strongly typed network."""
        if not self.needs_strong_typing_flag:
            return 0
        return 1 << int(self.module.NetworkDefinitionCreationFlag.__members__["STRONGLY_TYPED"])

    def builder(self) -> Builder:
        """A builder; RuntimeUnavailableError where the library has no GPU and needs one."""
        log = library_log(self.module)
        try:
            return self.module.Builder(log)
        except TypeError as error:  # what the bindings make of a null pointer
            raise RuntimeUnavailableError(
                f"TensorRT {self.version} cannot start a builder ({log.text or error}); classic TensorRT "
                "needs an NVIDIA GPU and its driver, TensorRT-RTX (--backend rtx) does not"
            ) from error


def find_tensorrt(backend: Backend = "auto") -> Flavour:
    """The TensorRT to build with; `auto` is the classic one where torch sees a GPU, else TensorRT-RTX.

    Raises:
        RuntimeUnavailableError: it is not installed.
    """
    if backend == "auto":
        import torch

        order = ("tensorrt", "rtx") if torch.cuda.is_available() else ("rtx", "tensorrt")
    else:
        order = (backend,)
    reasons: list[str] = []
    for kind in order:
        for name in IMPORT_NAMES[kind]:
            try:
                return Flavour(cast("Module", importlib.import_module(name)))
            except (ImportError, OSError) as error:
                reasons.append(f"{name}: {error}")
    extras = " or ".join(f"pip install 'lorair[{kind}]'" for kind in order)
    raise RuntimeUnavailableError(f"no TensorRT can be imported ({'; '.join(reasons)}); {extras}")
