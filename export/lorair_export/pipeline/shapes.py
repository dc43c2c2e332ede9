"""The shapes of images: the graphs that an engine's profiles need, and the profiles that a graph's engine gets."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from lorair_export.bundle import Graph, Manifest, Profile, TensorSpec
from lorair_export.spec import ROUTER, GraphRequest, GraphSpec, spec_from_request

# One image of 64 to 512 pixels a side.
DEFAULT_PROFILE: Final = Profile((1, 3, 64, 64), (1, 3, 256, 256), (1, 3, 512, 512))
# The largest side of images that the engine of a graph `router` takes, in pixels.
ROUTED_SIDE: Final = 2048


def graph_spec_from_profiles(profiles: Sequence[Profile], request: GraphRequest) -> tuple[GraphSpec, tuple[str, ...]]:
    """The graphs that take every shape of the profiles, and what was chosen and why, a line each.

    Profiles of one shape give graphs of that shape only.
    """
    shapes = {shape for profile in profiles for shape in profile.shapes}
    sides = [side for shape in shapes for side in shape[2:]]
    batch, one = max(shape[0] for shape in shapes), len(shapes) == 1
    return spec_from_request(request, batch, (min(sides), max(sides)), profiles[0].opt[2:] if one else None, one)


def check_graph(bundle: Path, manifest: Manifest, profiles: Sequence[Profile], request: GraphRequest) -> None:
    """ValueError where a bundle's graph is not what was requested, or does not take the profiles' shapes."""
    graph = manifest.graphs[-1]
    options = {
        "lowering": (request.lowering, manifest.lowering),
        "precision": (request.precision, manifest.precision),
        "routing": (request.routing, manifest.form),
        "io": (request.io, graph.image_dtype),
    }
    for option, (requested, held) in options.items():
        if requested not in (None, "auto", held):
            raise ValueError(f"--{option} {requested}: the graph in {bundle} is {held}; leave the option out")
    if beyond := [profile for profile in profiles if not _takes(manifest, profile)]:
        low, high = manifest.size_range
        fixed = f" (only {graph.shape[0]}x{graph.shape[1]})" if graph.shape else ""
        batch = f"{graph.fixed_batch or f'up to {manifest.max_batch}'} images"
        raise ValueError(
            f"the graph in {bundle} takes {batch} of {low} to {high} pixels a side{fixed}; "
            f"name shapes within that, or export it again; got {beyond[0]}"
        )


def _takes(manifest: Manifest, profile: Profile) -> bool:
    graph, (low, high) = manifest.graphs[-1], manifest.size_range
    return profile.max[0] <= manifest.max_batch and all(
        low <= min(shape[2:])
        and max(shape[2:]) <= high
        and graph.shape in (None, shape[2:])
        and graph.fixed_batch in (None, shape[0])
        for shape in profile.shapes
    )


def default_profiles(manifest: Manifest | None) -> tuple[Profile, ...]:
    """The one shape of a bundle whose graph takes no other; else `DEFAULT_PROFILE`."""
    graph = manifest.graphs[-1] if manifest is not None else None
    if graph is None or graph.shape is None:
        return (DEFAULT_PROFILE,)
    shape = (graph.fixed_batch or 1, 3, *graph.shape)
    return (Profile(shape, shape, shape),)


def sides_taken(profiles: Sequence[Profile]) -> tuple[int, int]:
    """The smallest and the largest side that images of any aspect may have.

    A largest profile of one size takes only that. ValueError where its heights and widths have no size in common.
    """
    *others, largest = sorted(profiles, key=lambda profile: profile.max[2] * profile.max[3])
    fixed = largest.min[2:] == largest.max[2:]
    low, high = sorted(largest.max[2:]) if fixed else (max(largest.min[2:]), min(largest.max[2:]))
    if low > high:
        raise ValueError(f"heights and widths of a profile must overlap, so that a square fits; got {largest}")
    return min([low, *(side for profile in others for side in profile.min[2:])]), high


def profiles_for(graph: Graph, profiles: Sequence[Profile]) -> tuple[Profile, ...]:
    """The profiles of a graph's engine: those requested, or for a graph `router` one range that holds them.

    It reaches from the smallest side to `ROUTED_SIDE`, so that an image can be routed whole and restored in tiles.
    """
    if graph.name != ROUTER:
        return tuple(profiles)
    low = graph.size_range[0]
    high = max(ROUTED_SIDE, *(side for profile in profiles for side in profile.max[2:]))
    opt, batch = profiles[0].opt, max(profile.max[0] for profile in profiles)
    return (Profile((1, 3, low, low), (1, *opt[1:]), (batch, 3, high, high)),)


def bounded(tensors: Sequence[TensorSpec], profiles: Sequence[Profile]) -> tuple[TensorSpec, ...]:
    """Inputs or outputs with a number for every free dimension that all profiles fix."""
    shapes = [shape for profile in profiles for shape in (profile.min, profile.max)]
    fixed = {axis: shapes[0][axis] for axis in range(4) if len({shape[axis] for shape in shapes}) == 1}

    def sizes(shape: Sequence[int | str]) -> tuple[int | str, ...]:
        return tuple(fixed.get(axis, size) if isinstance(size, str) else size for axis, size in enumerate(shape))

    return tuple(replace(tensor, shape=sizes(tensor.shape)) for tensor in tensors)
