"""Restoring images of any size, depth and kind over any runtime."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lorair.errors import LorairError
from lorair.images import (
    MIN_TILE,
    MapTiles,
    Picture,
    check_tiles,
    picture_from_samples,
    restore_tiled,
    samples_from_picture,
)

if TYPE_CHECKING:
    from lorair.inference.runtime import Runtime
    from lorair.model import Routing

ImageLike = np.ndarray | Image.Image
_PILLOW_MODES = ("L", "LA", "RGB", "RGBA", "I;16")


@dataclass(frozen=True)
class Restoration:
    """A restored picture, the share of each degradation's expert in it, and what the caller should know."""

    picture: Picture
    gates: dict[str, float]
    notes: tuple[str, ...]

    @property
    def degradation(self) -> str:
        """The degradation of the largest gate."""
        return max(self.gates, key=self.gates.__getitem__)


def restore_arrays(
    runtime: "Runtime",
    images: Sequence[ImageLike],
    degradation: str | None = None,
    tile: int | None = None,
    overlap: int = 32,
) -> list[ImageLike]:
    """Restore images of mixed sizes; each comes back in its own kind, shape and dtype, alpha untouched.

    Args:
        runtime: what runs the model.
        images: uint8 or uint16 arrays ``[H, W]`` or ``[H, W, C]``, C being gray, gray and alpha, RGB or RGBA;
            or PIL images of the same kinds.
        degradation: a name of ``runtime.degradations``, or None to let the router see each image.
        tile: side in pixels of overlapping tiles, None for whole images.
        overlap: pixels over which neighbouring tiles blend.

    Raises:
        ValueError: an image, the degradation or the tiles are not what the runtime takes.
    """
    tile = usable_tile(runtime, tile, overlap)
    pinned = None if degradation is None else runtime.pin(degradation, 1)
    pictures = [_picture_from_image(image) for image in images]
    restored = (restore_picture(runtime, picture, pinned, tile, overlap).picture for picture in pictures)
    return [_image_like(image, picture) for image, picture in zip(images, restored, strict=True)]


def restore_picture(
    runtime: "Runtime",
    picture: Picture,
    pinned: "Routing | None" = None,
    tile: int | None = None,
    overlap: int = 32,
    map_tiles: MapTiles = map,
) -> Restoration:
    """Restore one picture, routed once as a whole where the runtime can.

    Args:
        runtime: what runs the model.
        picture: uint8 or uint16; gray comes back gray, and its alpha and metadata as they are.
        pinned: the routing of a named degradation, None to let the router see the picture.
        tile: side in pixels, as ``usable_tile`` gives it.
        overlap: pixels over which neighbouring tiles blend.
        map_tiles: see :func:`lorair.images.tiles.restore_tiled`.
    """
    image = tensor_from_pixels(picture.pixels)
    restored, gates, notes = restore_tensor(runtime, image, pinned, tile, overlap, map_tiles)
    return Restoration(replace(picture, pixels=pixels_from_tensor(restored, picture)), gates, notes)


def restore_tensor(
    runtime: "Runtime",
    image: Tensor,
    pinned: "Routing | None" = None,
    tile: int | None = None,
    overlap: int = 32,
    map_tiles: MapTiles = map,
) -> tuple[Tensor, dict[str, float], tuple[str, ...]]:
    """As ``restore_picture``, of float32 ``[1, 3, H, W]`` in [0, 1]: the same unrounded, the gates and the notes."""
    height, width = image.shape[-2:]
    smallest = runtime.size_range[0] if runtime.size_range else 1
    routing = runtime.route(image) if pinned is None else pinned
    gates: list[Tensor] = []
    notes: list[str] = []

    def restore(part: Tensor) -> Tensor:
        restored, part_gates = runtime.restore(part, routing)
        gates.append(part_gates)
        return restored

    padded = pad_reflected(image, smallest)
    restored = restore_tiled(restore, padded, tile, overlap, max(smallest, MIN_TILE), notes.append, map_tiles)
    if routing is None and len(gates) > 1:
        notes.append(f"the {runtime.name} runtime routed each tile by itself; the gates are the tiles' mean")
    shares = torch.cat(gates).mean(0).tolist()
    return restored[..., :height, :width], dict(zip(runtime.degradations, shares, strict=True)), tuple(notes)


def usable_tile(runtime: "Runtime", tile: int | None, overlap: int) -> int | None:
    """The tile to restore with: as asked, else the largest image that the runtime takes, else None for whole.

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


def tensor_from_pixels(pixels: np.ndarray) -> Tensor:
    """uint8 or uint16 ``[H, W, 3]`` -> float32 ``[1, 3, H, W]`` in [0, 1]."""
    scaled = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    return torch.from_numpy(scaled).permute(2, 0, 1)[None].contiguous()


def pixels_from_tensor(image: Tensor, like: Picture) -> np.ndarray:
    """Floating ``[1, 3, H, W]`` in [0, 1] -> ``[H, W, 3]``, in the dtype of ``like`` and gray where that is.

    Raises:
        LorairError: a value is not finite.
    """
    if not image.isfinite().all():
        raise LorairError("the restored image holds values that are not finite; use a model of higher precision")
    if like.gray:
        image = image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    dtype = like.pixels.dtype
    levels = image[0].float().clamp(0, 1).mul(np.iinfo(dtype).max).round()
    return levels.permute(1, 2, 0).cpu().numpy().astype(dtype)


def pad_reflected(image: Tensor, height: int, width: int | None = None) -> Tensor:
    """Reflect ``[B, 3, H, W]`` below and to the right, as often as it takes, to at least ``height`` and ``width``, by
    default a square of that."""
    for axis, side in ((-2, height), (-1, width or height)):
        size = image.shape[axis]
        if size < side:
            period = max(2 * size - 2, 1)
            index = torch.arange(side, device=image.device) % period
            image = image.index_select(axis, torch.minimum(index, period - index) % size)
    return image


def _picture_from_image(image: ImageLike) -> Picture:
    if isinstance(image, np.ndarray):
        return picture_from_samples(image)
    if image.mode not in _PILLOW_MODES:
        known = ", ".join(_PILLOW_MODES)
        raise ValueError(f"a PIL image is of mode {known}; got {image.mode}, so convert it to RGB first")
    return picture_from_samples(np.asarray(image))


def _image_like(image: ImageLike, picture: Picture) -> ImageLike:
    samples = samples_from_picture(picture)
    if isinstance(image, np.ndarray):
        return samples.reshape(image.shape)
    restored = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    restored.info = dict(image.info)
    return restored
