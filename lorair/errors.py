"""Errors that a user can act on; each message says what was wrong, what was got and what to do next."""

from collections.abc import Iterable


class LorairError(Exception):
    """Base of the package's own errors. `exit_code` is what a command line ends with."""

    exit_code = 1


class CheckpointError(LorairError):
    """A file is not a checkpoint that this version can read."""


class ImageError(LorairError):
    """An image cannot be read, or cannot be written in the requested format."""


class UnknownDegradationError(LorairError, ValueError):
    """A name is not a degradation that the model or procedure knows."""

    exit_code = 2

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name, tuple(known))

    def __str__(self) -> str:
        name, known = self.args
        return f"unknown degradation {name!r}; choose one of {', '.join(known)}"


class RuntimeUnavailableError(LorairError):
    """The machine lacks what the runtime or the device needs."""

    exit_code = 3


class TrainingError(LorairError):
    """Training cannot continue, or cannot be resumed."""
