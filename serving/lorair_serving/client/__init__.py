"""The client of a service, and the service as a runtime."""

from lorair_serving.client.client import AsyncClient, Client, Restored

__all__ = ["AsyncClient", "Client", "Restored"]
