"""The client of a service, and the service as a runtime."""

from lorair_serving.client.client import ADDRESS, AsyncClient, Client, Restored
from lorair_serving.client.counters import ModelCounters
from lorair_serving.errors import ErrorCode, ServingError

__all__ = ["ADDRESS", "AsyncClient", "Client", "ErrorCode", "ModelCounters", "Restored", "ServingError"]
