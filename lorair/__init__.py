"""All-in-one image restoration with LoRA-IR: one model recognises the degradation and restores the image."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorair.checkpoints import load
    from lorair.inference import restore
    from lorair.model import PRESETS, LoRAIR, ModelConfig

    __version__: str

__all__ = ["PRESETS", "LoRAIR", "ModelConfig", "__version__", "load", "restore"]

# Imported when they are first used: `import lorair` and the programs' --help need no torch.
_ROOMS = {"PRESETS": "model", "LoRAIR": "model", "ModelConfig": "model", "load": "checkpoints", "restore": "inference"}


def __getattr__(name: str) -> object:
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("lorair")
    if name not in _ROOMS:
        raise AttributeError(f"module 'lorair' has no attribute {name!r}")
    return getattr(import_module(f"lorair.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
