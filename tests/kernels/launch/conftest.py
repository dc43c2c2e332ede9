"""A GPU with a launch file, on a machine that may have none."""

import json
from types import SimpleNamespace

import pytest
import torch
from lorair_kernels.launch import FOLDER_VARIABLE, lookup


@pytest.fixture
def tensor():
    """Makes all that the lookup reads of a tensor, so that it may be on a GPU that is not there."""
    return lambda dtype=torch.float16, device="cuda:0": SimpleNamespace(dtype=dtype, device=torch.device(device))


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
