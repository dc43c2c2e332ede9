"""All-in-one image restoration with LoRA-IR: one model that sees the degradation and restores the image."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["PRESETS", "LoRAIR", "ModelConfig", "__version__", "load"]

if TYPE_CHECKING:
    from lorair.checkpoint import load
    from lorair.config import PRESETS, ModelConfig
    from lorair.model import LoRAIR

_HOME = {"PRESETS": "config", "ModelConfig": "config", "LoRAIR": "model", "load": "checkpoint"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'lorair' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"lorair.{_HOME[name]}"), name)
