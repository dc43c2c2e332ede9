import sys
from pathlib import Path

import pytest
from lorair_serving.server import installation
from lorair_serving.server.installation import NUMPY, VARIABLE, WHEEL, find_tritonserver

from lorair.errors import RuntimeUnavailableError

ROOT = Path(__file__).parents[3]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch, tmp_path):
    """A machine without tritonserver."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(installation, "IN_CONTAINER", tmp_path / "container" / "tritonserver")
    monkeypatch.setattr(installation, "IN_ENVIRONMENT", tmp_path / "environment")


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch(0o755)
    return path


def wheel(folder: Path, version: str = VERSION) -> Path:
    server = folder / "pytriton" / "tritonserver"
    executable(server / "bin" / "tritonserver")
    executable(server / "python_backend_stubs" / version / "triton_python_backend_stub")
    executable(server / "backends" / "python" / "libtriton_python.so")
    (folder / "numpy").mkdir()
    return folder


def test_places_in_their_order(tmp_path, monkeypatch):
    def found(path=None):
        return find_tritonserver(tmp_path / str(len(list(tmp_path.iterdir()))), path).command[0]

    in_environment = wheel(tmp_path / "environment") / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    assert found() == str(in_environment)
    in_container = executable(tmp_path / "container" / "tritonserver")
    assert found() == str(in_container)
    on_path = executable(tmp_path / "bin" / "tritonserver")
    assert found() == str(on_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "environment"))
    assert found() == str(in_environment)
    assert found(in_container) == str(in_container)


def test_wheel_gets_the_stub_of_this_python(tmp_path, monkeypatch):
    made = find_tritonserver(tmp_path / "scratch", wheel(tmp_path / "wheel"))
    backends = Path(made.command[1].removeprefix("--backend-directory="))
    assert {file.name for file in (backends / "python").iterdir()} == {
        "libtriton_python.so",
        "triton_python_backend_stub",
    }
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usual")
    first, *_, last = made.environment()["LD_LIBRARY_PATH"].split(":")
    assert (first, last) == (str(tmp_path / "wheel" / "nvidia_pytriton.libs"), "/usual")
    assert made.environment()["PYTHONPATH"].split(":")[0] == str(tmp_path / "wheel"), "its numpy before the newer one"


def test_packages_of_the_wheel_are_those_that_are_documented():
    wanted = (ROOT / "serving" / "tritonserver.txt").read_text().splitlines()
    assert [line.split(";")[0] for line in wanted if not line.startswith("#")] == [WHEEL, NUMPY]


def test_wheel_without_its_numpy_is_one_clear_error(tmp_path):
    (wheel(tmp_path / "wheel") / "numpy").rmdir()
    with pytest.raises(RuntimeUnavailableError, match=r"lacks numpy==1"):
        find_tritonserver(tmp_path / "scratch", tmp_path / "wheel")


def test_python_without_a_stub_is_one_clear_error(tmp_path):
    with pytest.raises(RuntimeUnavailableError, match=f"no backend for Python {VERSION}"):
        find_tritonserver(tmp_path / "scratch", wheel(tmp_path / "wheel", "3.8"))


def test_no_server_says_how_to_install_one(tmp_path, monkeypatch):
    with pytest.raises(
        RuntimeUnavailableError, match=r"pip install --no-deps --target .*environment nvidia-pytriton=="
    ):
        find_tritonserver(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(RuntimeUnavailableError, match=r"no tritonserver at .*nothing"):
        find_tritonserver(tmp_path)
