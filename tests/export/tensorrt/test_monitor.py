"""A signal ends a build at its next step, and what its handler raised is raised."""

import signal
import sys
import threading
import time

import pytest
from rich.progress import Progress


def terminate(number: int, frame: object) -> None:
    sys.exit(128 + number)


@pytest.mark.parametrize(
    ("number", "handler", "raised"),
    [
        (signal.SIGINT, signal.default_int_handler, KeyboardInterrupt),
        (signal.SIGTERM, terminate, SystemExit),
    ],
)
def test_a_signal_stops_the_build(rtx, graph, number, handler, raised, build) -> None:
    class Phases(Progress):
        """Counts the phases of a build, interrupted in the first of them where asked."""

        started, interrupt = 0, False

        def add_task(self, *args, **kwargs):
            self.started += 1
            if self.interrupt and self.started == 1:
                signal.pthread_kill(threading.main_thread().ident, number)
                time.sleep(0.5)
            return super().add_task(*args, **kwargs)

    whole, interrupted = Phases(disable=True), Phases(disable=True)
    build(graph, rtx, whole)
    interrupted.interrupt = True
    # A process started in the background ignores Ctrl-C, so the test sets Python's own handler.
    before = signal.signal(number, handler)
    try:
        with pytest.raises(raised):
            build(graph, rtx, interrupted)
    finally:
        signal.signal(number, before)
    assert whole.tasks == []
    assert 1 <= interrupted.started < whole.started
