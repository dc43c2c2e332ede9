"""Which device runs a model."""

import torch

from lorair.errors import RuntimeUnavailableError


def resolve_device(device: str) -> torch.device:
    """`auto` is the GPU where there is one; a number is that GPU. RuntimeUnavailableError where it is not available."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        resolved = torch.device(f"cuda:{device}" if device.isdigit() else device)
    except RuntimeError as error:
        raise ValueError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:N") from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise RuntimeUnavailableError(f"device {device!r} is not available: torch sees no such GPU; use --device cpu")
    return resolved
