"""Restoring images of any size, depth and kind over any runtime."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorair.images import MIN_TILE, MapTiles, Picture, check_tiles, restore_tiled
from lorair.inference.pixels import (
    ImageLike,
    image_from_picture,
    pad_reflected,
    picture_from_image,
    pixels_from_tensor,
    tensor_from_pixels,
)
from lorair.inference.runtime import Runtime, open_runtime
from lorair.inference.torch_runtime import TorchRuntime
from lorair.model import LoRAIR, Routing


@dataclass(frozen=True)
class Restoration:
    """A restored picture, the share of each degradation's expert in it, and notes for the caller."""

    picture: Picture
    gates: dict[str, float]
    notes: tuple[str, ...]

    @property
    def degradation(self) -> str:
        """The degradation of the largest gate."""
        return max(self.gates, key=self.gates.__getitem__)


def restore(
    images: Sequence[ImageLike],
    model: str | Path | LoRAIR | Runtime = "default",
    *,
    degradation: str | None = None,
    tile: int | None = None,
    overlap: int = 32,
    device: str = "auto",
) -> list[ImageLike]:
    """Restore images of mixed sizes; each comes back in its own kind, shape and dtype, its alpha unchanged.

    Example:
        >>> import lorair, numpy as np
        >>> photo = np.full((48, 64, 3), 128, dtype=np.uint8)
        >>> (restored,) = lorair.restore([photo], device="cpu")
        >>> restored.shape, restored.dtype.name
        ((48, 64, 3), 'uint8')

    Args:
        images: uint8 or uint16 arrays `[H, W]` or `[H, W, C]`, C being gray, gray and alpha, RGB or RGBA;
            or PIL images of mode L, LA, RGB, RGBA or I;16. Their full range is 0 to 255, or 0 to 65535.
        model: what to restore with: `default`, a checkpoint, a bundle folder or a server's address, as
            `lorair restore --model` takes them; or a model or runtime that is loaded already.
        degradation: a name of the model's `degradations`; None routes each image.
        tile: side in pixels of overlapping tiles; None restores whole images, where the runtime takes any size.
        overlap: pixels over which neighbouring tiles blend, at most half a tile.
        device: `auto`, `cpu`, `cuda` or `cuda:N`, where the named model runs; a loaded one stays where it is.

    Raises:
        ValueError: an image, the degradation, the tiles or the model's name are not what the runtime takes.
        CheckpointError: the checkpoint is missing, damaged or of a newer format.
        RuntimeUnavailableError: the device or the packages that the model needs are missing.
        LorairError: the restored image is not finite.
    """
    if isinstance(images, np.ndarray | Image.Image):
        raise ValueError("images must be a sequence of arrays or PIL images; got one image, so pass [image]")
    runtime = _runtime_of(model, device)
    tile = usable_tile(runtime, tile, overlap)
    pinned = None if degradation is None else runtime.pin(degradation, 1)
    pictures = [picture_from_image(image) for image in images]
    restored = (restore_picture(runtime, picture, pinned, tile, overlap).picture for picture in pictures)
    return [image_from_picture(picture, image) for picture, image in zip(restored, images, strict=True)]


def restore_picture(
    runtime: Runtime,
    picture: Picture,
    pinned: Routing | None = None,
    tile: int | None = None,
    overlap: int = 32,
    map_tiles: MapTiles = map,
) -> Restoration:
    """Restore one picture, routed once as a whole where the runtime can.

    Args:
        runtime: what runs the model.
        picture: uint8 or uint16; gray comes back gray, and its alpha and metadata as they are.
        pinned: the routing of a named degradation, None to route the picture.
        tile: side in pixels, as `usable_tile` gives it.
        overlap: pixels over which neighbouring tiles blend.
        map_tiles: see `lorair.images.restore_tiled`.
    """
    image = tensor_from_pixels(picture.pixels)
    restored, gates, notes = restore_tensor(runtime, image, pinned, tile, overlap, map_tiles)
    return Restoration(replace(picture, pixels=pixels_from_tensor(restored, picture)), gates, notes)


def restore_tensor(
    runtime: Runtime,
    image: Tensor,
    pinned: Routing | None = None,
    tile: int | None = None,
    overlap: int = 32,
    map_tiles: MapTiles = map,
) -> tuple[Tensor, dict[str, float], tuple[str, ...]]:
    """As `restore_picture`, of float32 `[1, 3, H, W]` in [0, 1]: the same unrounded, the gates and the notes."""
    height, width = image.shape[-2:]
    smallest = runtime.size_range[0] if runtime.size_range else 1
    routing = runtime.route(image) if pinned is None else pinned
    gates: list[Tensor] = []
    notes: list[str] = []

    def restore_part(part: Tensor) -> Tensor:
        restored, part_gates = runtime.restore(part, routing)
        gates.append(part_gates)
        return restored

    padded = pad_reflected(image, smallest)
    restored = restore_tiled(restore_part, padded, tile, overlap, max(smallest, MIN_TILE), notes.append, map_tiles)
    if routing is None and len(gates) > 1:
        notes.append(f"the {runtime.name} runtime routed each tile separately; the gates are the tiles' mean")
    shares = torch.cat(gates).mean(0).tolist()
    return restored[..., :height, :width], dict(zip(runtime.degradations, shares, strict=True)), tuple(notes)


def usable_tile(runtime: Runtime, tile: int | None, overlap: int) -> int | None:
    """The tile to restore with: the given one, else the largest image that the runtime takes, else None for whole.

    Raises:
        ValueError: the runtime does not take tiles of this size, or the overlap does not fit them.
    """
    smallest, largest = runtime.size_range or (1, None)
    if tile is not None and (tile < smallest or (largest is not None and tile > largest)):
        limits = f"from {smallest} pixels a side" + (f" to {largest}" if largest is not None else "")
        raise ValueError(f"the {runtime.name} runtime takes images {limits}; got tiles of {tile}")
    tile = largest if tile is None else tile
    check_tiles(tile, overlap)
    return tile


def _runtime_of(model: str | Path | LoRAIR | Runtime, device: str) -> Runtime:
    if isinstance(model, str | Path):
        return open_runtime(str(model), device)
    if device != "auto":
        raise ValueError(f"a loaded model stays on its device; got device {device!r}, so move the model instead")
    return TorchRuntime(model) if isinstance(model, LoRAIR) else model
