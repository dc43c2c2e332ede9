"""A bundle as a runtime: its graphs composed by the routing form, whatever runs them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from lorair.errors import UnknownDegradationError
from lorair.inference import pad_reflected
from lorair.model import Routing, pinned_routing
from lorair_export.bundle import Graph, Manifest
from lorair_export.runtimes.image_sizes import check_images, takes_size
from lorair_export.spec import ROUTER, RoutingForm, expert_graph


class BundleRuntime(ABC):
    """What every runtime of bundles shares; `run` is its own.

    A batch beyond the largest for its size runs in parts, and images between an engine's profiles are filled up to
    one by reflection. Where a graph takes 8-bit images, float32 ones are rounded to 0..255 for it, and its output is
    divided by 255 again. `precision` is that of the graphs, by whose tolerance they are judged; `computes_in` what
    the restorer's convolutions run in on this machine.
    """

    name: ClassVar[str]
    size_range: tuple[int, int] | None

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.degradations = manifest.degradations
        self.size_range = manifest.size_range
        self.precision = self.computes_in = manifest.precision

    @abstractmethod
    def run(self, graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One call of a graph with contiguous inputs that it takes -> its outputs by name, on the CPU."""

    def route(self, images: Tensor) -> Routing | None:
        """See `Runtime`; None where the router does not take this size."""
        match self.manifest.routing:
            case RoutingForm.GRAPH:
                return None
            case RoutingForm.PINNED:
                assert self.manifest.pinned is not None
                return self.pin(self.manifest.pinned, len(images))
            case _:
                router = self.manifest.graph(ROUTER)
                if not takes_size(router, *images.shape[-2:]):
                    return None
                outputs = self._call(router, {"image": images})
                return Routing(None, outputs["gates"], outputs["prior"])

    def pin(self, degradation: str, batch: int) -> Routing:
        """See `Runtime`."""
        manifest = self.manifest
        if degradation not in self.degradations:
            raise UnknownDegradationError(degradation, self.degradations)
        if manifest.routing is RoutingForm.GRAPH:
            raise ValueError(
                f"degradation {degradation!r} cannot be named: this bundle routes inside; export it with "
                f"--routing split, or pinned:{degradation}, or use the checkpoint"
            )
        if manifest.pinned not in (None, degradation):
            raise ValueError(f"this bundle restores only {manifest.pinned}; got {degradation!r}")
        if not manifest.mean_priors:
            raise ValueError(f"degradation {degradation!r} cannot be named: the checkpoint had no mean priors")
        return pinned_routing(self.degradations.index(degradation), torch.tensor(manifest.mean_priors), batch)

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        """See `Runtime`; ValueError for images or a routing that the graphs do not take."""
        manifest = self.manifest
        check_images(images, manifest.graphs[-1])
        if manifest.routing is RoutingForm.GRAPH:
            if routing is not None:
                raise ValueError("this bundle routes inside and takes no routing; pass None, or use --routing split")
            outputs = self._call(manifest.graphs[0], {"image": images})
            return outputs["restored"], outputs["gates"]
        routing = routing or self.route(images)
        if routing is None or len(routing.gates) != len(images):
            raise ValueError(f"a routing needs a row for each of {len(images)} images, of a size the router takes")
        gates, prior = routing.gates.cpu().float(), routing.prior.cpu().float()
        match manifest.routing:
            case RoutingForm.SPLIT:
                inputs = {"image": images, "gates": gates, "prior": prior}
                return self._call(manifest.graphs[-1], inputs)["restored"], gates
            case RoutingForm.PINNED:
                assert manifest.pinned is not None
                if not torch.equal(gates, self.pin(manifest.pinned, len(images)).gates):
                    raise ValueError(f"this bundle restores only {manifest.pinned}; it takes no other routing")
                return self._call(manifest.graphs[0], {"image": images})["restored"], gates
            case _:
                return self._restored_by_experts(images, gates, prior), gates

    def _restored_by_experts(self, images: Tensor, gates: Tensor, prior: Tensor) -> Tensor:
        if bool((gates.max(1).values < 0.999).any()):  # rows sum to 1, and a GPU's softmax of one may miss it by a bit
            raise ValueError("this bundle has a graph for each expert, so gates are one 1 among zeros")
        restored = images.new_empty(images.shape, dtype=torch.float32, device="cpu")
        chosen = gates.argmax(1)
        for expert in chosen.unique().tolist():
            rows = (chosen == expert).nonzero().flatten()
            graph = self.manifest.graph(expert_graph(self.degradations[expert]))
            restored[rows] = self._call(graph, {"image": images.cpu()[rows], "prior": prior[rows]})["restored"]
        return restored

    def _call(self, graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A graph over a batch of any length: float32 in, float32 out."""
        images = inputs["image"]
        eight_bit = graph.inputs[0].dtype == "uint8"
        if eight_bit:
            images = images.mul(255).round().clamp(0, 255).to(torch.uint8)
        profiles = graph.profiles_for(*images.shape[-2:])
        most = max((profile.max[0] for profile in profiles), default=self.manifest.max_batch)
        columns = [tensor.split(most) for tensor in {**inputs, "image": images}.values()]
        parts = [self._run_filled(graph, dict(zip(inputs, part, strict=True))) for part in zip(*columns, strict=True)]
        outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return {name: value.float() / 255 if value.dtype == torch.uint8 else value for name, value in outputs.items()}

    def _run_filled(self, graph: Graph, part: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One call, filled up where the graph takes no fewer: its batch with the last row, its images by reflection."""
        count, _, height, width = part["image"].shape
        least = (graph.fixed_batch or 1, 3, 1, 1)
        least = next((p.min for p in graph.profiles_for(height, width) if count <= p.max[0]), least)
        missing = max(least[0] - count, 0)
        part = {**part, "image": pad_reflected(part["image"], least[2], least[3])}
        filled = {name: torch.cat([rows, *[rows[-1:]] * missing]).contiguous() for name, rows in part.items()}
        outputs = {name: rows[:count] for name, rows in self.run(graph, filled).items()}
        return {name: rows[..., :height, :width] if rows.ndim == 4 else rows for name, rows in outputs.items()}
