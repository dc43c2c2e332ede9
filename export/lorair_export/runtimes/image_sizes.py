"""Which images a graph takes, and what a user can do about those it does not."""

import torch
from torch import Tensor

from lorair_export.bundle import Graph


def takes_size(graph: Graph, height: int, width: int) -> bool:
    """Whether a graph takes images of a size, after filling up to one of its engine's profiles."""
    if graph.profiles:
        return bool(graph.profiles_for(height, width))
    low, high = graph.size_range
    return (height, width) == graph.shape if graph.shape else low <= min(height, width) and max(height, width) <= high


def check_images(images: Tensor, graph: Graph) -> None:
    """ValueError unless `images` is float32 [B, 3, H, W] of a size that the graph takes."""
    if images.ndim != 4 or images.shape[1] != 3 or not len(images) or images.dtype != torch.float32:
        raise ValueError(f"images must be float32 [B, 3, H, W]; got {images.dtype} {tuple(images.shape)}")
    height, width = images.shape[-2:]
    if not takes_size(graph, height, width):
        raise ValueError(f"the graph takes {_sizes(graph)}, got {height}x{width}; {_advice(graph, height, width)}")


def _sizes(graph: Graph) -> str:
    if graph.shape:
        return "images of {}x{} pixels".format(*graph.shape)
    if graph.profiles:
        return "images of " + " and ".join("up to {}x{}".format(*p.max[2:]) for p in graph.profiles) + " pixels"
    return "sides of {} to {} pixels".format(*graph.size_range)


def _advice(graph: Graph, height: int, width: int) -> str:
    if graph.shape and graph.shape[0] != graph.shape[1]:  # tiles are squares
        return f"export with --imgsz {height},{width} for such images, or with --tile for images of any size"
    bounds = "shape" if graph.profiles else "size"
    return f"restore larger images in tiles (--tile), or export with other --min-{bounds} and --max-{bounds}"
