"""Tiles: a partition of unity, no seams, and halving where memory runs out."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from lorair.images.tiles import is_out_of_memory, restore_tiled, tile_starts, tile_weights

AXES = [(1, 64, 32), (64, 64, 32), (65, 64, 32), (100, 40, 10), (105, 40, 20), (511, 64, 0), (130, 50, 25)]


def image(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))


@pytest.mark.parametrize(("length", "tile", "overlap"), AXES)
def test_starts_cover_the_axis_and_overlap_enough(length: int, tile: int, overlap: int):
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + tile == max(length, tile)
    assert all(0 < after - before <= tile - overlap for before, after in pairwise(starts))


@pytest.mark.parametrize(("length", "tile", "overlap"), AXES)
def test_weights_are_a_partition_of_unity_inside_the_tiles(length: int, tile: int, overlap: int):
    weights = tile_weights(length, tile, overlap)
    plane = torch.zeros(length, length)
    for row in weights:
        for column in weights:
            plane += row[:, None] * column
    assert torch.equal(plane, torch.ones(length, length))
    assert weights.min() >= 0
    for start, weight in zip(tile_starts(length, tile, overlap), weights, strict=True):
        assert not weight[:start].any()
        assert not weight[start + tile :].any()


def test_neighbours_fade_over_the_whole_overlap():
    weight = tile_weights(96, 64, 32)[0]
    expected = 0.5 + 0.5 * torch.cos(torch.pi * (torch.arange(32) + 0.5) / 32)
    assert torch.allclose(weight[32:64], expected, atol=2**-12)


@pytest.mark.parametrize(("height", "width"), [(200, 131), (64, 200), (65, 33), (3, 150)])
@pytest.mark.parametrize("overlap", [0, 7, 32])
def test_tiles_of_the_identity_give_the_image(height: int, width: int, overlap: int):
    original = image(height, width)
    assert torch.allclose(restore_tiled(lambda part: part, original, 64, overlap), original, atol=1e-6, rtol=0)


def test_a_local_filter_by_tiles_equals_the_whole_image():
    def blur(part: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(part, 5, stride=1, padding=2, count_include_pad=False)

    original = image(150, 170)
    tiled = restore_tiled(blur, original, 64, 32)
    # The cosine weighs a tile's outermost pixels by less than 2 %, where its filter lacks neighbours.
    assert (tiled - blur(original)).abs().max() < 0.02


def test_an_image_that_fits_passes_untouched_and_once():
    original = image(40, 64)
    calls = []
    assert restore_tiled(lambda part: calls.append(part) or part, original, 64) is original
    assert calls[0] is original


def test_out_of_memory_halves_the_tiles_of_this_image_only():
    sides, reports = [], []

    def small_only(part: torch.Tensor) -> torch.Tensor:
        sides.append(max(part.shape[-2:]))
        if sides[-1] > 80:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
        return part

    original = image(300, 400)
    restored = restore_tiled(small_only, original, 320, 16, report=reports.append)
    assert torch.allclose(restored, original, atol=1e-6, rtol=0)
    assert sides[:3] == [320, 160, 80]
    assert len(reports) == 2
    assert "320" in reports[0] and "160" in reports[0] and "Tried to allocate" in reports[0]


def test_out_of_memory_at_the_smallest_tile_is_raised():
    sides = []

    def never(part: torch.Tensor) -> torch.Tensor:
        sides.append(part.shape[-1])
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")

    with pytest.raises(RuntimeError, match="allocate"), pytest.warns(UserWarning, match="out of memory"):
        restore_tiled(never, image(256, 256), 256, 16, min_tile=128)
    assert sides == [256, 128]


def test_tiles_are_not_halved_below_twice_the_overlap():
    sides = []

    def never(part: torch.Tensor) -> torch.Tensor:
        sides.append(part.shape[-1])
        raise MemoryError

    with pytest.raises(MemoryError):
        restore_tiled(never, image(256, 256), 256, 100)
    assert sides == [256]


def test_other_errors_do_not_count_as_out_of_memory():
    def broken(part: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        restore_tiled(broken, image(256, 256), 256)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("Failed to allocate memory for requested buffer of size 4096"))
    assert not is_out_of_memory(RuntimeError("no memory of this"))


@pytest.mark.parametrize("overlap", [-1, 33, 64])
def test_an_impossible_overlap_is_rejected(overlap: int):
    with pytest.raises(ValueError, match="at most 32"):
        restore_tiled(lambda part: part, image(100, 100), 64, overlap)
