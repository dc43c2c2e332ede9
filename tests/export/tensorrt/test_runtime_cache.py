from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from lorair_export.tensorrt.flavour import Flavour
from lorair_export.tensorrt.runtime_cache import EngineCache, cache_path, runtime_cache


class FakeCache:
    """What a GPU compiled: it grows as it runs, and takes only what it wrote itself."""

    def __init__(self) -> None:
        self.kernels = b""

    def serialize(self) -> bytearray:
        return bytearray(b"rtx" + self.kernels)

    def deserialize(self, blob: bytes) -> bool:
        if not blob.startswith(b"rtx"):
            return False
        self.kernels = blob[3:]
        return True


def fake_engine() -> SimpleNamespace:
    config = SimpleNamespace(create_runtime_cache=FakeCache, set_runtime_cache=lambda cache: True)
    return SimpleNamespace(create_runtime_config=lambda: config)


def opened(path: Path) -> EngineCache:
    return EngineCache(path, fake_engine())


def test_the_next_start_has_what_was_compiled(tmp_path) -> None:
    path = tmp_path / "lorair" / "one.rtx-cache"
    first = opened(path)
    first.cache.kernels = b"conv"
    first.keep((1, 3, 64, 64))
    first.cache.kernels = b"conv matmul"
    first.keep((1, 3, 64, 64))
    assert opened(path).cache.kernels == b"conv"
    first.keep((1, 3, 64, 96))
    assert opened(path).cache.kernels == b"conv matmul"
    assert [file.name for file in path.parent.iterdir()] == ["one.rtx-cache"]


def test_a_foreign_cache_is_replaced(tmp_path) -> None:
    path = tmp_path / "one.rtx-cache"
    path.write_bytes(b"of another driver")
    cache = opened(path)
    assert cache.cache.kernels == b""
    cache.keep((1, 3, 64, 64))
    assert path.read_bytes() == b"rtx"


@pytest.mark.parametrize("name", ["file/one.rtx-cache", "folder.rtx-cache"])
def test_a_cache_that_cannot_be_used_is_one_warning_and_no_failure(tmp_path, caplog, name) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.rtx-cache" / "full").mkdir(parents=True)
    cache = opened(tmp_path / name)
    caplog.clear()
    cache.keep((1, 3, 64, 64))
    cache.keep((1, 3, 64, 64))
    (record,) = caplog.records
    assert "the next start compiles again" in record.message


def test_a_user_without_a_home_is_one_warning_and_no_failure(tmp_path, caplog, monkeypatch) -> None:
    def no_entry(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_entry)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    (tmp_path / "plan").touch()
    module = ModuleType("fake")
    module.__version__, module.IRuntimeCache = "1", FakeCache
    cache = runtime_cache(tmp_path / "plan", fake_engine(), Flavour(module))
    cache.keep((1, 3, 64, 64))
    (record,) = caplog.records
    assert "set XDG_CACHE_HOME" in record.message and [file.name for file in tmp_path.iterdir()] == ["plan"]


def test_each_plan_version_and_gpu_has_a_separate_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in "ab":
        (tmp_path / name).write_text(name)
    asked = [("a", "1.7.1", "one"), ("b", "1.7.1", "one"), ("a", "1.7.2", "one"), ("a", "1.7.1", "other")]
    paths = {cache_path(tmp_path / plan, version, gpu) for plan, version, gpu in asked}
    assert len(paths) == 4 and {path.parent for path in paths} == {tmp_path / "lorair"}


def test_only_a_library_with_such_a_cache_gets_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    (tmp_path / "plan").touch()
    module = ModuleType("fake")
    module.__version__ = "1"
    assert runtime_cache(tmp_path / "plan", fake_engine(), Flavour(module)) is None
    module.IRuntimeCache = FakeCache
    assert runtime_cache(tmp_path / "plan", fake_engine(), Flavour(module)) is not None
