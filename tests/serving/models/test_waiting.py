import threading

import pytest
from lorair_serving.models.waiting import BusyError, WaitingLine


def test_background_work_waits_for_all_other():
    line, gate, done = WaitingLine(1, 8), threading.Event(), []
    line.put(gate.wait)
    finished = threading.Event()
    for name, background in (("b1", True), ("a1", False), ("b2", True), ("a2", False)):
        line.put(lambda name=name: done.append(name), background)
    line.put(finished.set, background=True)
    gate.set()
    assert finished.wait(10) and done == ["a1", "a2", "b1", "b2"]


def test_full_line_refuses_at_once():
    line, gate, running = WaitingLine(1, 2), threading.Event(), threading.Event()
    line.put(lambda: (running.set(), gate.wait()))
    assert running.wait(10)
    line.put(print)
    line.put(print)
    with pytest.raises(BusyError, match=r"2 images wait.*come back later"):
        line.put(print)
    gate.set()


def test_failed_work_leaves_its_thread_to_the_next(caplog):
    line, done = WaitingLine(1, 2), threading.Event()
    line.put(lambda: 1 / 0)
    line.put(done.set)
    assert done.wait(10) and "ZeroDivisionError" in caplog.text
