"""Where a server listens."""

import socket
from dataclasses import dataclass

from lorair_serving.errors import ServingError

NAMES = ("http", "grpc", "metrics")


@dataclass(frozen=True)
class Ports:
    """Ports and address of a server; only this machine reaches it unless another address is given."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002
    address: str = "127.0.0.1"

    @classmethod
    def free(cls) -> "Ports":
        """Ports of this machine that nothing listens on at the moment."""
        sockets = [socket.create_server((cls.address, 0)) for _ in NAMES]
        numbers = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        return cls(*numbers)

    def check_free(self) -> None:
        """ServingError where something listens on one of them already."""
        for name in NAMES:
            port = getattr(self, name)
            try:
                socket.create_server((self.address, port)).close()
            except OSError as error:
                raise ServingError(f"{self.address}:{port} is taken ({error}); choose another --{name}-port") from error

    def arguments(self) -> list[str]:
        """The options of tritonserver that make it listen here."""
        ports = [f"--{name}-port={getattr(self, name)}" for name in NAMES]
        return ports + [f"--{name}-address={self.address}" for name in NAMES]
