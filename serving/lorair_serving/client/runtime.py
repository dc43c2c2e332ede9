"""The runtime that is a service elsewhere: `triton://host:8001/lorair`."""

from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor

from lorair.errors import UnknownDegradationError
from lorair.model import Routing
from lorair_serving.client.client import Client
from lorair_serving.repository import FRONT

SCHEME = "triton"


class TritonRuntime:
    """Sends images to a server, 8 bits a sample; it routes, tiles and restores."""

    name = "triton"
    size_range: tuple[int, int] | None = None

    def __init__(self, client: Client) -> None:
        self.client = client
        self.degradations = client.degradations()

    @classmethod
    def accepts(cls, target: str) -> bool:
        return target.startswith(f"{SCHEME}://")

    @classmethod
    def open(cls, target: str, device: str = "auto") -> "TritonRuntime":
        """Connect.

        Raises:
            ValueError: the address is not ``triton://host[:port][/model]``.
            ServingError: the server cannot be reached, or does not serve the model.
        """
        parts = urlsplit(target)
        if not parts.hostname or parts.path.count("/") > 1:
            raise ValueError(f"{target}: a server's address is triton://host:8001/{FRONT}")
        return cls(Client(f"{parts.hostname}:{parts.port or 8001}", parts.path.strip("/") or FRONT))

    def route(self, images: Tensor) -> Routing | None:
        return None

    def pin(self, degradation: str, batch: int) -> Routing:
        if degradation not in self.degradations:
            raise UnknownDegradationError(degradation, self.degradations)
        gates = torch.zeros(batch, len(self.degradations))
        gates[:, self.degradations.index(degradation)] = 1
        return Routing(None, gates, gates.new_empty(batch, 0))

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        restored, gates = [], []
        for index, image in enumerate(images):
            name = None if routing is None else self.degradations[int(routing.gates[index].argmax())]
            levels = image.float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
            answer = self.client.restore(np.ascontiguousarray(levels), name)
            assert isinstance(answer.image, np.ndarray)
            restored.append(torch.tensor(answer.image).permute(2, 0, 1).float() / 255)
            gates.append(torch.tensor(list(answer.gates.values())))
        return torch.stack(restored), torch.stack(gates)
