"""Which calls are run, recorded and replayed; the recording itself needs a GPU."""

import pytest
import torch

from lorair.model.cuda_graphs import GraphedCalls


class FakeCuda(torch.Tensor):
    """A tensor that says it lies on a GPU."""

    is_cuda = True


def on_gpu(*shape):
    return torch.ones(shape).as_subclass(FakeCuda)


@pytest.fixture
def calls(monkeypatch):
    log = []

    def function(x):
        log.append(("run", *x.shape))
        return x

    def record(self, inputs):
        log.append(("record", *inputs[0].shape))
        return lambda x: log.append(("replay", *x.shape)) or x

    monkeypatch.setattr(GraphedCalls, "_record", record)
    return GraphedCalls(function, keep=2), log


def test_the_second_call_of_a_shape_records_and_the_third_replays(calls):
    graphed, log = calls
    for _ in range(3):
        graphed(on_gpu(2, 3))
    graphed(on_gpu(2, 4))
    assert log == [("run", 2, 3), ("record", 2, 3), ("replay", 2, 3), ("replay", 2, 3), ("run", 2, 4)]


def test_the_shape_used_longest_ago_is_dropped(calls):
    graphed, log = calls
    for size in (1, 1, 2, 1, 3, 2):
        graphed(on_gpu(size))
    assert log == [("run", 1), ("record", 1), ("replay", 1), ("run", 2), ("replay", 1), ("run", 3), ("run", 2)]


def test_elsewhere_the_function_is_called(calls):
    graphed, log = calls
    graphed(torch.ones(2))
    graphed(torch.ones(2))
    assert log == [("run", 2), ("run", 2)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no NVIDIA GPU")
def test_a_replay_takes_the_inputs_of_its_call():
    graphed = GraphedCalls(lambda x, y: x * y + 1)
    for value in (1.0, 2.0, 3.0):
        x = torch.full((4,), value, device="cuda")
        assert torch.equal(graphed(x, x), x * x + 1)
