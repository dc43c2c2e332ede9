"""`lorair restore`: what it prints, and its exit codes."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lorair.inference
from lorair.errors import RuntimeUnavailableError
from lorair.inference import FileRecord, Runtime


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, identity) -> list[tuple[str, str]]:
    """The targets and devices that runtimes were opened with."""
    opened = []

    def open_identity(target: str, device: str) -> Runtime:
        opened.append((target, device))
        if device == "cuda":
            raise RuntimeUnavailableError("no GPU")
        return identity()

    monkeypatch.setattr(lorair.inference, "open_runtime", open_identity)
    return opened


@pytest.fixture
def restore(run_command, opened):
    return partial(run_command, "lorair", "restore")


def test_a_file_is_restored_next_to_it_by_the_default_model(tmp_path: Path, restore, opened, capsys, photograph):
    pixels = photograph(tmp_path / "a[b].png")
    assert restore(tmp_path / "a[b].png") == 0
    assert opened == [("default", "auto")]
    printed = capsys.readouterr().err
    assert "rain 0.75, haze 0.25" in printed
    assert "a[b]_restored.png" in printed
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a[b]_restored.png")), pixels)


def test_json_is_a_line_a_file_and_the_exit_code_is_1_if_one_failed(
    tmp_path: Path, restore, capsys, photograph, read_json
):
    photograph(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    assert restore(tmp_path, "-o", tmp_path / "out", "--json", "--degradation", "haze") == 1
    done, failed = (read_json(FileRecord, line) for line in capsys.readouterr().out.splitlines())
    assert (done["status"], done["degradation"], done["gates"]) == ("restored", "haze", {"haze": 1, "rain": 0})
    assert (done["target"], done["reason"], done["notes"]) == (str(tmp_path / "out/a.png"), None, [])
    assert (failed["status"], failed["degradation"], failed["seconds"]) == ("failed", None, None)
    assert "empty" in failed["reason"]
    assert restore(tmp_path, "-o", tmp_path / "out") == 1
    printed = capsys.readouterr().err
    assert printed.splitlines()[-1] == "0 restored, 1 skipped (--overwrite restores them again), 1 failed"
    assert restore(tmp_path, "-o", tmp_path / "out", "-q") == 1
    assert capsys.readouterr().err == f"{tmp_path}/b.png: failed, {tmp_path}/b.png: the file is empty\n"


def test_each_user_error_has_its_exit_code(tmp_path: Path, restore, photograph):
    photograph(tmp_path / "a.png")
    assert restore(tmp_path / "none.png") == 2
    assert restore(tmp_path / "a.png", "--tile", 16) == 2
    assert restore(tmp_path / "a.png", "--device", "cuda") == 3
