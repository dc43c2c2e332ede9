"""Where tritonserver is installed on this machine, and how it is started from there.

NVIDIA's container brings the server with all its backends. For machines without a container, the wheel nvidia-pytriton
holds one with the Python backend only. That backend misreads the arrays of numpy 2, so wheel and numpy 1 share a folder
of their own, and only the processes of the backend import from it.
"""

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from lorair.errors import RuntimeUnavailableError

VARIABLE = "LORAIR_TRITONSERVER"
WHEEL = "nvidia-pytriton==0.7.0"  # tritonserver 2.51
NUMPY = "numpy==1.26.4"
STUB = "triton_python_backend_stub"
IN_CONTAINER = Path("/opt/tritonserver/bin/tritonserver")
IN_ENVIRONMENT = Path(sys.prefix) / "tritonserver"


@dataclass(frozen=True)
class Installation:
    """A tritonserver: the command that starts it, and the directories of its shared libraries and Python packages."""

    command: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """This process's environment, with what the server and the Python processes that it starts need."""
        added = {
            # The backend's Python is another process: it finds packages where this one does.
            "PYTHONPATH": os.pathsep.join((*self.packages, *filter(None, sys.path))),
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
        }
        if self.libraries:
            added["LD_LIBRARY_PATH"] = os.pathsep.join((*self.libraries, os.environ.get("LD_LIBRARY_PATH", "")))
        return os.environ | added


def find_tritonserver(scratch: Path, path: Path | None = None) -> Installation:
    """The server to start.

    Args:
        scratch: an empty directory, kept as long as the server runs.
        path: the executable, or the folder that nvidia-pytriton was installed into. None for, in this order, what
            ``LORAIR_TRITONSERVER`` names, ``tritonserver`` on PATH, NVIDIA's container's own, and the folder
            ``tritonserver`` of this Python environment.

    Raises:
        RuntimeUnavailableError: there is no tritonserver, or its Python backend does not support this Python version.
    """
    if path is None and (named := os.environ.get(VARIABLE)):
        path = Path(named)
    if path is None:
        installed = shutil.which("tritonserver")
        candidates = (*([Path(installed)] if installed else ()), IN_CONTAINER, IN_ENVIRONMENT)
        path = next(filter(Path.exists, candidates), IN_ENVIRONMENT)
    if path.is_file():
        return Installation((str(path),))
    if (path / "pytriton" / "tritonserver").is_dir():
        return _of_wheel(path, scratch)
    raise RuntimeUnavailableError(
        f"no tritonserver at {path}: run in NVIDIA's container nvcr.io/nvidia/tritonserver, set {VARIABLE}, or install "
        f"a server without GPU support (Python 3.11 or 3.12 on Linux): "
        f"pip install --no-deps --target {IN_ENVIRONMENT} {WHEEL} {NUMPY}"
    )


def _of_wheel(folder: Path, scratch: Path) -> Installation:
    server = folder / "pytriton" / "tritonserver"
    command = (
        str(server / "bin" / "tritonserver"),
        f"--backend-directory={_backends(server, scratch)}",
        f"--cache-directory={server / 'caches'}",
        "--allow-gpu-metrics=false",
    )
    libraries = (str(folder / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR"))
    return Installation(command, libraries, packages=(str(folder),))


def _backends(server: Path, scratch: Path) -> Path:
    """A directory of backends: the wheel's Python backend, with the stub for this interpreter's version."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / STUB
    if not stub.exists():
        raise RuntimeUnavailableError(f"{WHEEL} has no backend for Python {version}; use Python 3.11 or 3.12")
    if not (server.parents[1] / "numpy").exists():
        raise RuntimeUnavailableError(f"{server.parents[1]} lacks {NUMPY}, which {WHEEL} needs; install it there")
    backend = scratch / "backends" / "python"
    backend.mkdir(parents=True)
    for file in (*(server / "backends" / "python").iterdir(), stub):
        if file.is_file():
            (backend / file.name).symlink_to(file)
    return backend.parent
