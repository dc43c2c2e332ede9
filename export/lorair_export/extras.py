"""Packages that only exporting and its runtimes need."""

from importlib import import_module
from types import ModuleType

from lorair.errors import RuntimeUnavailableError


def require(name: str, extra: str = "export") -> ModuleType:
    """The module of that name; RuntimeUnavailableError names the extra that installs it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"{name} is not installed or does not load ({error}); pip install 'lorair[{extra}]'"
        ) from error
