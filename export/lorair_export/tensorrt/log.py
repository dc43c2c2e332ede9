"""The logger of a TensorRT library: warnings to `logging`, errors kept for the exception that ends a build."""

import logging
import re
from functools import cache

from lorair_export.tensorrt.api import Logger, Module

logger = logging.getLogger(__name__)


class LibraryLog(Logger):
    """What a library reported since the last `clear`: errors, and activation memory in bytes of each profile."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.errors: list[str] = []
        self.activation_bytes: list[int] = []

    @property
    def text(self) -> str:
        return "\n  ".join(self.errors)


@cache
def library_log(trt: Module) -> LibraryLog:
    """The one log of a library: the first that a process registers stays for good."""

    class Log(LibraryLog, trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            LibraryLog.__init__(self)

        def log(self, severity: object, msg: str) -> None:
            if severity == trt.ILogger.WARNING:
                logger.warning(msg)
            elif severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                if not is_noise(msg):
                    self.errors.append(msg)
            elif found := re.match(r"Total Activation Memory: (\d+)", msg):
                self.activation_bytes.append(int(found[1]))

    return Log()


def is_noise(message: str) -> bool:
    """Without a driver TensorRT looks for the current GPU at every error, and reports that failing too."""
    return "catchCudaError" in message
