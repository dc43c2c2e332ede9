"""Starting, watching and stopping tritonserver."""

import logging
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from lorair_serving.errors import ServingError
from lorair_serving.repository import Repository, read_repository
from lorair_serving.server.installation import STUB, find_tritonserver
from lorair_serving.server.ports import Ports

STOP_S = 30
LOAD_S = 300
SUPERVISION_S = 1
LOCAL = Ports()

logger = logging.getLogger(__name__)


class Server:
    """A running tritonserver, and a thread that keeps its models alive."""

    def __init__(self, process: subprocess.Popen[bytes], repository: Repository, ports: Ports, log: Path) -> None:
        self.process = process
        self.processes = Counter(
            {name: model.instances for name, model in repository.models.items() if model.backend == "python"}
        )
        self.ports = ports
        self.log = log
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    @property
    def http(self) -> str:
        return f"http://{self.ports.address}:{self.ports.http}"

    def ready(self) -> bool:
        """Whether every model is loaded."""
        try:
            with urllib.request.urlopen(f"{self.http}/v2/health/ready", timeout=2) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def wait_until_ready(self, timeout_s: float) -> None:
        """ServingError with the end of the server's log where it ends, or is not ready in time."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if self.process.poll() is not None:
                raise ServingError(f"tritonserver ended with exit code {self.process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServingError(f"tritonserver was not ready after {timeout_s:.0f} s:\n{self.log_tail()}")
            time.sleep(0.2)
        self._supervisor.start()

    def revive(self) -> None:
        """Reload each model of the Python backend of which a process has ended; Triton does not restart it."""
        for model in self.processes - self._alive():
            logger.warning("a process of model %s has ended; reloading the model", model)
            for verb in ("unload", "load"):
                request = urllib.request.Request(f"{self.http}/v2/repository/models/{model}/{verb}", method="POST")
                with urllib.request.urlopen(request, timeout=LOAD_S):
                    pass

    def _alive(self) -> Counter[str]:
        """How many processes each model has; the path of its code is an argument of the process."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        lines = [child.as_dict(["cmdline"], ad_value=[])["cmdline"] for child in children]  # none of a zombie
        stubs = (line for line in lines if len(line) > 1 and Path(line[0]).name == STUB)
        return Counter(Path(line[1]).parents[1].name for line in stubs)

    def _supervise(self) -> None:
        while not self._stopping.wait(SUPERVISION_S):
            try:
                self.revive()
            except (OSError, psutil.Error) as error:
                if not self._stopping.is_set():
                    logger.warning("a model could not be reloaded (%s); trying again", error)

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Let requests in flight end, then stop."""
        self._stopping.set()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running_server(
    repository: Path,
    ports: Ports = LOCAL,
    log: Path | None = None,
    timeout_s: float = 300,
    tritonserver: Path | None = None,
) -> Generator[Server]:
    """Serve a model repository; ready when the block begins, stopped when it ends.

    Args:
        repository: of :func:`lorair_serving.repository.writing.write_repository`.
        ports: where to listen.
        log: file for the server's log, None for one that is deleted.
        timeout_s: how long the models may take to load.
        tritonserver: its executable, or the folder of nvidia-pytriton; None to look for it
            (:func:`lorair_serving.server.installation.find_tritonserver`).

    Raises:
        RuntimeUnavailableError: there is no tritonserver on this machine, or none for this Python version.
        ServingError: a port is taken, the folder is no model repository, or the server does not start.
    """
    ports.check_free()
    with tempfile.TemporaryDirectory(prefix="lorair-serve-") as scratch:
        log = log or Path(scratch) / "tritonserver.log"
        installation = find_tritonserver(Path(scratch), tritonserver)
        served = read_repository(repository)
        models = [f"--load-model={name}" for name in served.models]
        arguments = [f"--model-repository={repository}", "--model-control-mode=explicit", *models, *ports.arguments()]
        if cache_mib := served.service.cache_mib:
            arguments.append(f"--cache-config=local,size={cache_mib * 2**20}")
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [*installation.command, *arguments],
                env=installation.environment(),
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        server = Server(process, served, ports, log)
        try:
            server.wait_until_ready(timeout_s)
            yield server
        finally:
            server.stop()
