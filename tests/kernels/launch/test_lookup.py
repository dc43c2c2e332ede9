"""The tile of a launch: from the plan, or from the file of its GPU."""

import pytest
import torch
from lorair_kernels.launch import DEPTHWISE, POINTWISE, TABLES, find_tile, is_measured, lookup, tile_for

TILE = {"tokens": 32, "outputs": 256, "channels": 32, "warps": 4, "stages": 5}


@pytest.mark.parametrize(
    ("dtype", "gated", "tokens", "sides"),
    [
        (torch.float16, False, 8192, (128, 128)),
        (torch.bfloat16, False, 8191, (64, 128)),
        (torch.float16, True, 10**6, (128, 64)),
        (torch.float16, True, 0, (64, 64)),
        (torch.float32, True, 10**6, (64, 32)),
    ],
)
def test_the_first_row_that_fits_wins(dtype, gated, tokens, sides, tensor):
    tile = tile_for(POINTWISE, tensor(dtype, "cpu"), gated=gated, tokens=tokens)
    assert (tile.tokens, tile.outputs) == sides


def test_every_kernel_has_a_row_for_every_storage_without_conditions(tensor):
    for table in TABLES.values():
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            assert find_tile(table, tensor(dtype, "cpu")) is not None, table.kernel


def test_a_dtype_that_is_too_wide_is_rejected(tensor):
    assert find_tile(POINTWISE, tensor(torch.float64, "cpu")) is None
    with pytest.raises(ValueError, match=r"pointwise has no tile for torch.float64 on cpu; use float16"):
        tile_for(POINTWISE, tensor(torch.float64, "cpu"))


def test_a_file_comes_before_the_defaults_under_its_conditions(gpu, tensor):
    row = {"itemsize": 2, "gated": False, "tokens": 100, "channels": 64, "capability": [80, 90], "tile": TILE}
    gpu({"pointwise": [row]})
    sizes = {"tokens": 100, "channels": 64}
    assert tile_for(POINTWISE, tensor(), **sizes).outputs == 256
    assert tile_for(POINTWISE, tensor(torch.float32), **sizes).outputs == 64
    assert tile_for(POINTWISE, tensor(), gated=True, **sizes).outputs == 64
    assert tile_for(POINTWISE, tensor(), tokens=99, channels=64).outputs == 128
    assert tile_for(POINTWISE, tensor(), tokens=100, channels=65).outputs == 128
    assert tile_for(DEPTHWISE, tensor()) == DEPTHWISE.rows[0].tile


def test_a_row_for_other_capabilities_is_skipped(gpu, tensor):
    gpu({"pointwise": [{"capability": [100, 120], "tile": TILE}]})
    assert tile_for(POINTWISE, tensor()).outputs == 128


def test_a_gpu_is_measured_where_it_has_a_file(gpu, monkeypatch, tensor):
    cuda = torch.device("cuda:0")
    assert not is_measured(cuda)
    gpu({})
    lookup.gpu_rows.cache_clear()
    assert is_measured(cuda) and not is_measured(torch.device("cpu"))
    assert tile_for(POINTWISE, tensor()).outputs == 128
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    lookup.gpu_rows.cache_clear()
    assert not is_measured(cuda)
