"""The server process."""

from lorair_serving.server.process import Ports, running_server

__all__ = ["Ports", "running_server"]
