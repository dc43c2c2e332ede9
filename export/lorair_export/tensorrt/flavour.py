"""Which TensorRT is installed, and what it can do: told by its attributes, never by its version."""

import importlib
import logging
import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, Literal

from lorair.errors import RuntimeUnavailableError

Backend = Literal["auto", "tensorrt", "rtx"]

IMPORT_NAMES: Final = {"tensorrt": ("tensorrt",), "rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}

# An object of the bindings, whose types are known at run time alone.
Bound = Any

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flavour:
    """A TensorRT found on this machine.

    Classic TensorRT builds for the GPU it runs on; TensorRT-RTX builds ahead of time for named compute
    capabilities and leaves the choice of kernels to the GPU that loads the plan.
    """

    module: Bound

    @property
    def version(self) -> str:
        return self.module.__version__

    @cached_property
    def compute_capabilities(self) -> tuple[str, ...]:
        """What a plan may be built for, as ``("8.6", ...)``; empty: only the GPU at hand."""
        members = getattr(self.module, "ComputeCapability", None)
        names = [] if members is None else [name[2:] for name in members.__members__ if name.startswith("SM")]
        return tuple(f"{digits[:-1]}.{digits[-1]}" for digits in sorted(names, key=int))

    @property
    def name(self) -> str:
        return "rtx" if self.compute_capabilities else "tensorrt"

    @property
    def needs_strong_typing_flag(self) -> bool:
        """Where a builder can still be told to use fp16, a network is weakly typed unless asked otherwise."""
        return "FP16" in self.module.BuilderFlag.__members__

    def network_flags(self) -> int:
        if not self.needs_strong_typing_flag:
            return 0
        return 1 << int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def find_tensorrt(backend: Backend = "auto") -> Flavour:
    """The TensorRT to build with; ``auto`` is classic where a GPU is, which it needs, else TensorRT-RTX.

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
                return Flavour(importlib.import_module(name))
            except (ImportError, OSError) as error:
                reasons.append(f"{name}: {error}")
    extras = " or ".join(f"pip install 'lorair[{kind}]'" for kind in order)
    raise RuntimeUnavailableError(f"no TensorRT can be imported ({'; '.join(reasons)}); {extras}")


@cache
def library_logger(trt: Bound) -> Bound:
    """The one logger of a library: the first that a process registers stays for good."""

    class Logger(trt.ILogger):
        """Warnings go to ``logging``; errors are kept for the exception that ends the build."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.clear()

        def clear(self) -> None:
            self.errors: list[str] = []
            self.activation_bytes: list[int] = []

        def told(self) -> str:
            return "\n  ".join(self.errors)

        def log(self, severity: Bound, msg: str) -> None:
            if severity == trt.ILogger.WARNING:
                logger.warning(msg)
            elif severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                if not is_noise(msg):
                    self.errors.append(msg)
            elif found := re.match(r"Total Activation Memory: (\d+)", msg):
                self.activation_bytes.append(int(found[1]))

    return Logger()


def is_noise(message: str) -> bool:
    """Without a driver TensorRT looks for the current GPU at every error, and reports that failing too."""
    return "catchCudaError" in message
