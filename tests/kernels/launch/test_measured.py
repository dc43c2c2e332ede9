"""The launch file of a GPU: where it is found, when it is read, and what is rejected in it."""

import pytest
from lorair_kernels.launch import FOLDER_VARIABLE, POINTWISE, lookup, measured, tile_for

TILE = {"tokens": 32, "outputs": 256, "channels": 32, "warps": 4, "stages": 5}
WHOLE = {"tokens": 32, "channels": 64, "hidden": 16, "warps": 4, "stages": 2}


def test_a_file_is_read_once(gpu, tensor):
    gpu({"pointwise": [{"tile": TILE}]})
    assert tile_for(POINTWISE, tensor()).outputs == 256
    gpu("gone bad")
    assert tile_for(POINTWISE, tensor()).outputs == 256


def test_a_file_that_ships_serves_where_the_users_folder_has_none(gpu, monkeypatch, tmp_path, tensor):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    monkeypatch.setattr(measured, "SHIPPED", shipped)
    assert tile_for(POINTWISE, tensor()).outputs == 128
    gpu({"pointwise": [{"tile": TILE}]}, shipped)
    lookup.gpu_rows.cache_clear()
    assert tile_for(POINTWISE, tensor()).outputs == 256


@pytest.mark.parametrize("interpret", ["0", "1"])
def test_nothing_is_read_for_a_cpu_and_the_interpreter(gpu, monkeypatch, interpret, tensor):
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
def test_a_wrong_file_is_rejected_with_its_place(gpu, content, said, tensor):
    gpu(content)
    with pytest.raises(ValueError, match=said):
        tile_for(POINTWISE, tensor())


def test_a_missing_folder_is_rejected(gpu, monkeypatch, tensor):
    monkeypatch.setenv(FOLDER_VARIABLE, "/nowhere")
    with pytest.raises(ValueError, match=r"LORAIR_LAUNCH_CONFIGS must name a folder .* got '/nowhere'"):
        tile_for(POINTWISE, tensor())
