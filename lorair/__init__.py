"""All-in-one image restoration with LoRA-IR: one model that sees the degradation and restores the image."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["PRESETS", "LoRAIR", "ModelConfig", "__version__", "load"]

if TYPE_CHECKING:
    from lorair.checkpoints import load
    from lorair.model import PRESETS, LoRAIR, ModelConfig

_HOME = {"PRESETS": "model", "ModelConfig": "model", "LoRAIR": "model", "load": "checkpoints"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'lorair' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"lorair.{_HOME[name]}"), name)
