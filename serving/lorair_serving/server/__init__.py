"""The server process."""

from lorair_serving.server.ports import Ports
from lorair_serving.server.process import Server, running_server

__all__ = ["Ports", "Server", "running_server"]
