"""What can go wrong between a checkpoint and a running artefact."""

from lorair.errors import LorairError


class ExportError(LorairError):
    """A graph cannot be made, or a bundle not be written or read."""

    exit_code = 4


class BuildError(LorairError):
    """An engine cannot be built from a graph."""

    exit_code = 5


class ParityError(LorairError):
    """An artefact does not restore what the checkpoint restores."""

    exit_code = 6
