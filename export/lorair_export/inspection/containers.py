"""Which TensorRT NVIDIA's containers hold: a plan loads in the version that it was built with alone."""

from typing import Final

# Tags of nvcr.io/nvidia/tritonserver by TensorRT, as far as they were checked.
CONTAINERS: Final = {"10.5.0": "24.10-py3", "10.8.0": "25.01-py3", "10.14.1": "25.11-py3", "10.15.1": "26.02-py3"}


def tag_for(version: str) -> str | None:
    """The tag whose TensorRT is of that version, its build number aside; None where none is known."""
    return CONTAINERS.get(_release(version))


def tensorrt_of(tag: str) -> str | None:
    """The TensorRT in the container of a tag, as ``26.02`` or ``26.02-py3``; None where it was not checked."""
    return {known.removesuffix("-py3"): version for version, known in CONTAINERS.items()}.get(tag.removesuffix("-py3"))


def same_release(version: str, other: str) -> bool:
    """Whether two versions are of one release, as far as both tell: ``10.15.1.29`` and ``10.15.1``."""
    return _release(version) == _release(other)


def _release(version: str) -> str:
    return ".".join(version.split(".")[:3])
