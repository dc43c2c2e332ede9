"""The router and the restorer of the same server, as one runtime."""

from torch import Tensor

from lorair.errors import UnknownDegradationError
from lorair.model import Routing, pinned_routing, router_views
from lorair_serving.models.triton_api import infer
from lorair_serving.repository import RESTORER, ROUTER, ServedModel


class ServedRuntime:
    """Restores tiles by the models behind `lorair`; ``mean_priors`` [E, P] allow to name a degradation."""

    name = "triton"
    size_range: tuple[int, int] | None

    def __init__(self, model: ServedModel, mean_priors: Tensor | None) -> None:
        self.degradations = model.degradations
        self.size_range = model.service.tile, model.service.tile
        self.view_size = model.view_size
        self.mean_priors = mean_priors

    def route(self, images: Tensor) -> Routing | None:
        if self.view_size is None:
            return None
        gates, prior = infer(ROUTER, {"views": router_views(images, self.view_size)}, ("gates", "prior"))
        return Routing(None, gates, prior)

    def pin(self, degradation: str, batch: int) -> Routing:
        if degradation not in self.degradations:
            raise UnknownDegradationError(degradation, self.degradations)
        if self.mean_priors is None:
            raise ValueError("this model does not support named degradations; leave the name out")
        return pinned_routing(self.degradations.index(degradation), self.mean_priors, batch)

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        if routing is None:
            restored, gates = infer(RESTORER, {"image": images}, ("restored", "gates"))
            return restored, gates
        inputs = {"image": images, "gates": routing.gates, "prior": routing.prior}
        (restored,) = infer(RESTORER, inputs, ("restored",))
        return restored, routing.gates
