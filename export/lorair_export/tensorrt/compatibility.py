"""On which GPUs and in which versions of its library a built engine runs."""

from lorair_export.bundle import EngineRecord
from lorair_export.tensorrt.options import AMPERE


def takes_gpu(engine: EngineRecord, capability: str) -> bool:
    """Whether a bundle's engine runs on GPUs of a compute capability, by its manifest's record."""
    if engine.hw_compat == "ampere+":
        return float(capability) >= float(AMPERE)
    return capability in engine.compute_capabilities


def takes_version(engine: EngineRecord, version: str) -> bool:
    """Whether a bundle's engine loads in a version of its library: its own, or a later one if built version-compatible.

    Later versions of TensorRT-RTX were not tried, so none is promised.
    """
    later = engine.flavour == "tensorrt" and engine.version_compatible
    return version == engine.version or (later and _numbers(version) > _numbers(engine.version))


def _numbers(version: str) -> tuple[int, ...]:
    """`10.15.1.29` -> (10, 15, 1, 29)."""
    return tuple(map(int, version.split(".")))
