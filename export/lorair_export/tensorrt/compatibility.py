"""On which GPUs and in which versions of its library a built engine runs."""

from collections.abc import Mapping
from typing import Any

from lorair_export.tensorrt.options import AMPERE


def takes_gpu(engine: Mapping[str, Any], capability: str) -> bool:
    """Whether a bundle's engine runs on GPUs of a compute capability, by its manifest's facts."""
    if engine.get("hw_compat") == "ampere+":
        return float(capability) >= float(AMPERE)
    return capability in engine["compute_capabilities"]


def takes_version(engine: Mapping[str, Any], version: str) -> bool:
    """Whether a bundle's engine loads in a version of its library: its own, or a later one if built version-compatible.

    Later versions of TensorRT-RTX were not tried, so none is promised.
    """
    later = engine["flavour"] == "tensorrt" and engine.get("version_compatible", False)
    return version == engine["version"] or (later and _numbers(version) > _numbers(engine["version"]))


def _numbers(version: str) -> tuple[int, ...]:
    """``10.15.1.29`` -> (10, 15, 1, 29)."""
    return tuple(map(int, version.split(".")))
