"""What a client makes of a server's answers, without a server."""

import asyncio

import pytest
from lorair_serving.client.client import AsyncClient
from lorair_serving.client.connection import Connection
from lorair_serving.client.counters import ModelCounters, counters_from_statistics
from lorair_serving.errors import TRITON_CODES, ErrorCode, ServingError, message_with_code
from tritonclient.grpc import InferenceServerException

# The gRPC status that Triton gives each of its own codes.
STATUS = {
    "UNAVAILABLE": "UNAVAILABLE",
    "INVALID_ARG": "INVALID_ARGUMENT",
    "CANCELLED": "CANCELLED",
    "INTERNAL": "INTERNAL",
}


class Server:
    """Answers calls with one failure after the other."""

    def __init__(self, *failures: tuple[str, str]) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def get_inference_statistics(self, model, as_json, client_timeout):
        self.calls += 1
        if self.failures:
            status, message = self.failures.pop(0)
            raise InferenceServerException(message, f"StatusCode.{status}")
        return {"model_stats": [{"name": model, "inference_count": "7"}]}

    async def close(self):
        pass


def counted(server, monkeypatch, retries=3):
    monkeypatch.setattr("lorair_serving.client.client.BACKOFF_S", 0)
    monkeypatch.setattr(Connection, "__init__", connect_to(server))

    async def ask():
        async with AsyncClient(retries=retries) as client:
            return await client.counters("restorer")

    return asyncio.run(ask())


def connect_to(server):
    def connect(self, address, timeout_s):
        import tritonclient.grpc

        self.address, self.timeout_s, self._client, self._grpc = address, timeout_s, server, tritonclient.grpc

    return connect


@pytest.mark.parametrize("code", TRITON_CODES)
def test_code_of_the_server_arrives_and_is_final(code, monkeypatch):
    server = Server((STATUS[TRITON_CODES[code]], message_with_code(code, "why")))
    with pytest.raises(ServingError, match=r"why$") as failed:
        counted(server, monkeypatch)
    assert (failed.value.code, server.calls) == (code, 1)


def test_lost_connection_is_tried_again(monkeypatch):
    server = Server(("UNAVAILABLE", "failed to connect"), ("UNAVAILABLE", "Request for unknown model: not ready"))
    assert counted(server, monkeypatch).inferences == 7 and server.calls == 3
    gone = Server(*[("UNAVAILABLE", "failed to connect")] * 9)
    with pytest.raises(ServingError, match="no connection to") as failed:
        counted(gone, monkeypatch, retries=2)
    assert (failed.value.code, gone.calls) == (ErrorCode.UNREACHABLE, 3)


def test_no_answer_in_time_and_errors_of_triton_itself(monkeypatch):
    with pytest.raises(ServingError, match="in time") as failed:
        counted(Server(("DEADLINE_EXCEEDED", "Deadline Exceeded")), monkeypatch)
    assert failed.value.code is ErrorCode.NO_ANSWER
    with pytest.raises(ServingError, match="unknown model") as failed:
        counted(Server(("NOT_FOUND", "unknown model 'x'")), monkeypatch)
    assert failed.value.code is None


def test_counters_of_a_message():
    statistics = {
        "inference_count": "12",
        "execution_count": "5",
        "inference_stats": {"queue": {"count": "12", "ns": "6000000"}, "cache_hit": {"count": "3"}},
        "batch_stats": [{"batch_size": "4", "compute_infer": {"count": "2"}}, {"batch_size": "1"}],
    }
    counters = counters_from_statistics(statistics)
    assert counters == ModelCounters(12, 5, 6.0, 0.0, 3, {4: 2, 1: 0})
    earlier = ModelCounters(10, 4, 4.0, 0.0, 0, {4: 1})
    assert counters.since(earlier) == ModelCounters(2, 1, 2.0, 0.0, 3, {4: 1})
    assert ModelCounters(6, 4, 0, 0, 0, {}).mean_batch == 1.5
