"""Requests that wait for a thread."""

import itertools
import logging
import threading
from collections.abc import Callable
from queue import Full, PriorityQueue

from lorair_serving.errors import ErrorCode, RequestError

logger = logging.getLogger(__name__)


class RequestQueue:
    """Runs work in ``workers`` threads in the order it came, background work after all other.

    At most ``length`` pieces wait; one more is a RequestError, QUEUE_FULL.
    """

    def __init__(self, workers: int, length: int) -> None:
        self.length = length
        self._waiting: PriorityQueue[tuple[bool, int, Callable[[], object]]] = PriorityQueue(length)
        self._number = itertools.count()
        for _ in range(workers):
            threading.Thread(target=self._work, daemon=True).start()

    def put(self, work: Callable[[], object], background: bool = False) -> None:
        try:
            self._waiting.put_nowait((background, next(self._number), work))
        except Full:
            raise RequestError(ErrorCode.QUEUE_FULL, f"request queue full ({self.length}); retry later") from None

    def _work(self) -> None:
        while True:
            work = self._waiting.get()[-1]
            try:
                work()
            except Exception:
                logger.exception("a request failed unexpectedly")
