"""What can go wrong between a model repository and an answered request, as stable codes.

A code is a word that never changes once released; the sentence after it may. It travels in front of the message,
``LORAIR_QUEUE_FULL: request queue full (256); retry later``, which gRPC carries as the status's details and HTTP as
``error``.
"""

import re
from enum import StrEnum

from lorair.errors import LorairError


class ErrorCode(StrEnum):
    """Why a request failed. UNREACHABLE and NO_ANSWER come from the client, all others from the server."""

    QUEUE_FULL = "QUEUE_FULL"
    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    INVALID_REQUEST = "INVALID_REQUEST"
    INVALID_IMAGE = "INVALID_IMAGE"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"
    UNREACHABLE = "UNREACHABLE"
    NO_ANSWER = "NO_ANSWER"


# Triton's own error code, by which HTTP and gRPC choose their status.
TRITON_CODES = {
    ErrorCode.QUEUE_FULL: "UNAVAILABLE",
    ErrorCode.QUEUE_TIMEOUT: "UNAVAILABLE",
    ErrorCode.INVALID_REQUEST: "INVALID_ARG",
    ErrorCode.INVALID_IMAGE: "INVALID_ARG",
    ErrorCode.CANCELLED: "CANCELLED",
    ErrorCode.INTERNAL: "INTERNAL",
}
_MARKED = re.compile(r"LORAIR_([A-Z_]+): (.*)", re.DOTALL)


class ServingError(LorairError):
    """A server does not start, cannot be reached, or rejects a request; ``code`` says why, None where none is known."""

    exit_code = 7

    def __init__(self, message: str, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.code = code


class RequestError(Exception):
    """A request that the server does not answer, with the code that its client receives."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def message_with_code(code: ErrorCode, text: str) -> str:
    """What a server sends; :func:`code_and_text` is the inverse."""
    return f"LORAIR_{code}: {text}"


def code_and_text(message: str) -> tuple[ErrorCode | None, str]:
    """The code in front of a server's message, and the rest; no code where Triton itself or another server wrote it."""
    marked = _MARKED.search(message)
    if marked is None or marked[1] not in set(ErrorCode):
        return None, message
    return ErrorCode(marked[1]), marked[2]
