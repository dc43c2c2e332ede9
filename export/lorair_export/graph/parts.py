"""The graphs of a bundle as torch modules, by the form of routing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lorair.model import LoRAIR, Router
from lorair_export.graph.lowering import lowered_restorer
from lorair_export.graph.plain import plain_restorer
from lorair_export.spec import GraphSpec, RoutingForm

# The sides in pixels that a graph `router` takes, whatever the restorer takes: an image is routed whole.
ROUTER_SIZES = (2, 12_000)


@dataclass(frozen=True)
class Part:
    """One graph to export: `module` takes `inputs`, `image` first, and gives `outputs`.

    `widths` are the second dimensions of the inputs after the image, `spec` says the image's shapes and type.
    """

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    spec: GraphSpec
    widths: tuple[int, ...] = ()

    def examples(self, device: torch.device) -> tuple[Tensor, ...]:
        """Zeros in the shapes that tracing takes."""
        spec = self.spec
        side = min(sum(spec.size_range) // 2, 2048)
        image = torch.zeros(spec.max_batch, 3, *(spec.shape or (side, side)), dtype=spec.image_dtype, device=device)
        return image, *(torch.zeros(spec.max_batch, width, device=device) for width in self.widths)

    def free_dimensions(self) -> tuple[Mapping[int, str], ...]:
        """The names of each input's free dimensions, by axis.

        They have no bounds: torch derives its own, narrower than what the graph computes (height 17 for 16), and with
        bounds that contradict those it traces the model again.
        """
        spec = self.spec
        batch = {} if spec.fixed_batch or spec.max_batch == 1 else {0: "batch"}
        sides = {} if spec.shape else {2: "height", 3: "width"}
        return {**batch, **sides}, *(dict(batch) for _ in self.widths)


class RoutedGraph(nn.Module):
    """Router and lowered restorer in a row: image [B, 3, H, W] -> restored alike, gates [B, E].

    Images are float32 in [0, 1] or uint8. The router computes in float32, the restorer in `dtype`.
    """

    def __init__(self, router: Router, restorer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.router, self.restorer, self.dtype = router, restorer, dtype

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        pixels = pixels_from(image)
        routing = self.router(pixels)
        inputs = (tensor.to(self.dtype) for tensor in (pixels, routing.prior, routing.gates))
        return like(image, self.restorer(*inputs)), routing.gates


class RouterGraph(nn.Module):
    """image [B, 3, H, W] -> gates [B, E], prior [B, P]."""

    def __init__(self, router: Router) -> None:
        super().__init__()
        self.router = router

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        routing = self.router(pixels_from(image))
        return routing.gates, routing.prior


class RestorerGraph(nn.Module):
    """image [B, 3, H, W] and what its restorer takes of prior [B, P] and gates [B, E] -> restored, like the image."""

    def __init__(self, restorer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.restorer, self.dtype = restorer, dtype

    def forward(self, image: Tensor, *steering: Tensor) -> Tensor:
        inputs = (tensor.to(self.dtype) for tensor in (pixels_from(image), *steering))
        return like(image, self.restorer(*inputs))


def pixels_from(image: Tensor) -> Tensor:
    """float32 in [0, 1] as it is, uint8 levels over 255."""
    return image.float() / 255 if image.dtype == torch.uint8 else image


def like(image: Tensor, restored: Tensor) -> Tensor:
    """Restored pixels in [0, 1] in the image's type: float32, or uint8 levels, half rounded to even."""
    restored = restored.float()
    return (restored * 255).round().to(torch.uint8) if image.dtype == torch.uint8 else restored


def part_of(model: LoRAIR, spec: GraphSpec, name: str) -> Part:
    """The graph of that name (`lorair_export.spec.routing_form.graph_names`).

    ValueError where the model cannot be exported in that form.
    """
    check_form(model, spec)
    gates, prior = len(model.degradations), model.config.router.prior_dim
    dtype, high = spec.dtype, spec.size_range[1]
    match spec.routing, name:
        case RoutingForm.GRAPH, _:
            module = RoutedGraph(model.router, lowered_restorer(model, spec.lowering, high, dtype), dtype)
            part = Part(module, ("image",), ("restored", "gates"), spec)
        case RoutingForm.PINNED, _:
            assert spec.pinned is not None
            module = RestorerGraph(plain_restorer(model, spec.pinned, high, dtype, pinned=True), dtype)
            part = Part(module, ("image",), ("restored",), spec)
        case _, "router":
            low, high = ROUTER_SIZES
            free = replace(spec, min_size=low, max_size=high, shape=None, fixed_batch=False)
            part = Part(RouterGraph(model.router), ("image",), ("gates", "prior"), free)
        case RoutingForm.SPLIT, _:
            module = RestorerGraph(lowered_restorer(model, spec.lowering, high, dtype), dtype)
            part = Part(module, ("image", "prior", "gates"), ("restored",), spec, (prior, gates))
        case _:
            module = RestorerGraph(plain_restorer(model, name.removeprefix("restorer."), high, dtype), dtype)
            part = Part(module, ("image", "prior"), ("restored",), spec, (prior,))
    part.module.eval()
    return part


def check_form(model: LoRAIR, spec: GraphSpec) -> None:
    """ValueError where the model does not allow the routing or the lowering of the spec."""
    top_k = model.config.router.top_k
    if top_k > 1 and spec.routing is RoutingForm.EXPERTS:
        raise ValueError(
            f"--routing experts has one graph per expert, but this model mixes {top_k} experts per image (top_k); "
            "use --routing split"
        )
    if spec.pinned is not None:
        model.pin(spec.pinned)
