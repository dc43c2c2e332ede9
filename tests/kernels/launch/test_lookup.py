"""Which tile a launch gets: from the plan, or from the file of its GPU, which a machine without one can read too."""

import json
from types import SimpleNamespace

import pytest
import torch
from lorair_kernels.launch import (
    DEPTHWISE,
    FOLDER_VARIABLE,
    POINTWISE,
    TABLES,
    find_tile,
    is_measured,
    lookup,
    measured,
    tile_for,
)

TILE = {"tokens": 32, "outputs": 256, "channels": 32, "warps": 4, "stages": 5}
WHOLE = {"tokens": 32, "channels": 64, "hidden": 16, "warps": 4, "stages": 2}


def tensor(dtype=torch.float16, device="cuda:0"):
    """All that the plan asks of a tensor, so that a GPU can be pretended."""
    return SimpleNamespace(dtype=dtype, device=torch.device(device))


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A GPU named FAKE 9000 of capability 9.0, outside the interpreter; writes its file, in the user's folder."""
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "FAKE 9000")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    lookup.gpu_rows.cache_clear()

    def write(content, folder=tmp_path):
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "FAKE_9000.json").write_text(text)

    yield write
    lookup.gpu_rows.cache_clear()


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
def test_the_first_row_that_fits_wins(dtype, gated, tokens, sides):
    tile = tile_for(POINTWISE, tensor(dtype, "cpu"), gated=gated, tokens=tokens)
    assert (tile.tokens, tile.outputs) == sides


def test_every_kernel_has_a_row_for_every_storage_without_conditions():
    for table in TABLES.values():
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            assert find_tile(table, tensor(dtype, "cpu")) is not None, table.kernel


def test_a_dtype_that_is_too_wide_is_refused():
    assert find_tile(POINTWISE, tensor(torch.float64, "cpu")) is None
    with pytest.raises(ValueError, match=r"pointwise has no tile for torch.float64 on cpu; use float16"):
        tile_for(POINTWISE, tensor(torch.float64, "cpu"))


def test_a_file_comes_before_the_defaults_under_its_conditions(gpu):
    row = {"itemsize": 2, "gated": False, "tokens": 100, "channels": 64, "capability": [80, 90], "tile": TILE}
    gpu({"pointwise": [row]})
    sizes = {"tokens": 100, "channels": 64}
    assert tile_for(POINTWISE, tensor(), **sizes).outputs == 256
    assert tile_for(POINTWISE, tensor(torch.float32), **sizes).outputs == 64
    assert tile_for(POINTWISE, tensor(), gated=True, **sizes).outputs == 64
    assert tile_for(POINTWISE, tensor(), tokens=99, channels=64).outputs == 128
    assert tile_for(POINTWISE, tensor(), tokens=100, channels=65).outputs == 128
    assert tile_for(DEPTHWISE, tensor()) == DEPTHWISE.rows[0].tile


def test_a_row_for_other_capabilities_is_passed_over(gpu):
    gpu({"pointwise": [{"capability": [100, 120], "tile": TILE}]})
    assert tile_for(POINTWISE, tensor()).outputs == 128


def test_a_gpu_is_measured_where_it_has_a_file(gpu, monkeypatch):
    cuda = torch.device("cuda:0")
    assert not is_measured(cuda)
    gpu({})
    lookup.gpu_rows.cache_clear()
    assert is_measured(cuda) and not is_measured(torch.device("cpu"))
    assert tile_for(POINTWISE, tensor()).outputs == 128
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    lookup.gpu_rows.cache_clear()
    assert not is_measured(cuda)


def test_a_file_is_read_once(gpu):
    gpu({"pointwise": [{"tile": TILE}]})
    assert tile_for(POINTWISE, tensor()).outputs == 256
    gpu("gone bad")
    assert tile_for(POINTWISE, tensor()).outputs == 256


def test_a_file_that_ships_serves_where_the_users_folder_has_none(gpu, monkeypatch, tmp_path):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(measured, "SHIPPED", shipped)
    assert tile_for(POINTWISE, tensor()).outputs == 128
    gpu({"pointwise": [{"tile": TILE}]}, shipped)
    lookup.gpu_rows.cache_clear()
    assert tile_for(POINTWISE, tensor()).outputs == 256


@pytest.mark.parametrize("interpret", ["0", "1"])
def test_nothing_is_read_for_a_cpu_and_the_interpreter(gpu, monkeypatch, interpret):
    monkeypatch.setenv("TRITON_INTERPRET", interpret)
    gpu("not read")
    assert tile_for(POINTWISE, tensor(device="cpu" if interpret == "0" else "cuda:0")).outputs == 128


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", r"FAKE_9000.json: not JSON"),
        ([], r"FAKE_9000.json must be an object of kernels"),
        ({"pointwize": []}, r"the kernel must be one of merge, .*pointwise.*; got 'pointwize'"),
        ({"pointwise": {}}, r"FAKE_9000.json: pointwise must be a list of rows"),
        ({"pointwise": [{"tile": TILE}, {"token": 4, "tile": TILE}]}, r"pointwise\[1\] must be .*tokens, channels"),
        ({"pointwise": [{"tokens": 4}]}, r"pointwise\[0\] must be an object with a tile"),
        ({"pointwise": [{"tile": TILE | {"rows": 2}}]}, r"tile must be an object of channels, outputs, stages"),
        ({"pointwise": [{"tile": {"tokens": 64}}]}, r"tile must be an object of channels, outputs, stages"),
        ({"pointwise": [{"tile": TILE | {"outputs": 96}}]}, r"\[0\].tile.outputs must be a power of two; got 96"),
        ({"pointwise": [{"tile": TILE | {"warps": True}}]}, r"tile.warps must be a power of two; got True"),
        ({"pointwise": [{"tile": TILE | {"stages": 0}}]}, r"tile.stages must be a whole number above 0; got 0"),
        ({"pointwise": [{"tile": TILE, "gated": 1}]}, r"gated must be true or false; got 1"),
        ({"pointwise": [{"tile": TILE, "tokens": "64"}]}, r"tokens must be a whole number; got '64'"),
        ({"pointwise": [{"tile": TILE, "capability": 90}]}, r"capability must be the lowest and the highest"),
        ({"feed_forward": [{"tile": WHOLE}]}, r"feed_forward\[0\].channels must be at most the tile's, 64; got None"),
        ({"feed_forward": [{"tile": WHOLE, "channels": 65}]}, r"channels must be at most the tile's, 64; got 65"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(gpu, content, said):
    gpu(content)
    with pytest.raises(ValueError, match=said):
        tile_for(POINTWISE, tensor())


def test_a_folder_that_is_not_there_is_refused(gpu, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, "/nowhere")
    with pytest.raises(ValueError, match=r"LORAIR_LAUNCH_CONFIGS must name a folder .* got '/nowhere'"):
        tile_for(POINTWISE, tensor())
