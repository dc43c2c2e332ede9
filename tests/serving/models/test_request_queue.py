import threading

import pytest
from lorair_serving.errors import ErrorCode, RequestError
from lorair_serving.models.request_queue import RequestQueue


def test_background_work_waits_for_all_other():
    queue, gate, done = RequestQueue(1, 8), threading.Event(), []
    queue.put(gate.wait)
    finished = threading.Event()
    for name, background in (("b1", True), ("a1", False), ("b2", True), ("a2", False)):
        queue.put(lambda name=name: done.append(name), background)
    queue.put(finished.set, background=True)
    gate.set()
    assert finished.wait(10) and done == ["a1", "a2", "b1", "b2"]


def test_full_queue_rejects_at_once():
    queue, gate, running = RequestQueue(1, 2), threading.Event(), threading.Event()
    queue.put(lambda: (running.set(), gate.wait()))
    assert running.wait(10)
    queue.put(print)
    queue.put(print)
    with pytest.raises(RequestError, match=r"request queue full \(2\); retry later") as rejected:
        queue.put(print)
    assert rejected.value.code is ErrorCode.QUEUE_FULL
    gate.set()


def test_failed_work_leaves_its_thread_to_the_next(caplog):
    queue, done = RequestQueue(1, 2), threading.Event()
    queue.put(lambda: 1 / 0)
    queue.put(done.set)
    assert done.wait(10) and "ZeroDivisionError" in caplog.text
