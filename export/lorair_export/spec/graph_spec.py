"""What graphs to make of a model."""

from dataclasses import dataclass

import torch

from lorair_export.spec.lowering import Lowering
from lorair_export.spec.precision import PRECISIONS
from lorair_export.spec.routing_form import RoutingForm

IMAGE_TYPES = {"float32": torch.float32, "uint8": torch.uint8}
OPSETS = range(18, 23)


@dataclass(frozen=True)
class GraphSpec:
    """What graphs to make of a model.

    Attributes:
        lowering: how experts are represented in the graph.
        precision: what the restorer computes in: fp32, fp16, bf16, int8 or fp8.
        opset: ONNX's operator set, 18 to 22.
        max_batch: the most images per call; 1 with the merged lowering.
        min_size: the smallest height and width in pixels.
        max_size: the largest height and width in pixels; equal to `min_size` it fixes `shape`.
        routing: where the routing decision is taken.
        pinned: the degradation of the form `pinned`, None in other forms.
        shape: the one height and width in pixels, None for any between `min_size` and `max_size`.
        fixed_batch: every call takes `max_batch` images.
        io: the type of images: float32 in [0, 1] or uint8 in 0..255.

    Raises:
        ValueError: an option is out of range, or two contradict each other.
    """

    lowering: Lowering = Lowering.MERGED
    precision: str = "fp32"
    opset: int = 20
    max_batch: int = 1
    min_size: int = 16
    max_size: int = 4096
    routing: RoutingForm = RoutingForm.GRAPH
    pinned: str | None = None
    shape: tuple[int, int] | None = None
    fixed_batch: bool = False
    io: str = "float32"

    def __post_init__(self) -> None:
        self._check_precision()
        self._check_sizes()
        self._check_form()
        if self.shape is None and self.min_size == self.max_size:
            object.__setattr__(self, "shape", (self.min_size, self.max_size))

    def _check_precision(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {self.precision!r}")
        if self.opset not in OPSETS:
            raise ValueError(
                f"opset must lie in {OPSETS[0]}..{OPSETS[-1]}, got {self.opset}; "
                "TensorRT-RTX builds no float32 attention from the operator of opset 23"
            )
        least_opset = PRECISIONS[self.precision].least_opset
        if self.opset < least_opset:
            raise ValueError(f"--precision {self.precision} needs --opset {least_opset} or above; got {self.opset}")
        if PRECISIONS[self.precision].eight_bit and self.lowering is Lowering.MERGED:
            raise ValueError(
                f"--precision {self.precision} stores kernels in 8 bits, and the merged lowering makes them in the "
                "graph; use --lowering low-rank, or --routing experts or pinned:NAME"
            )

    def _check_sizes(self) -> None:
        if not 2 <= self.min_size <= self.max_size:
            raise ValueError(f"sizes need 2 <= min <= max; got {self.min_size} and {self.max_size}")
        if min(self.size_range) < 2:
            raise ValueError(f"images have at least 2 pixels a side; got {self.shape}")
        if self.max_batch < 1:
            raise ValueError(f"max_batch must be at least 1; got {self.max_batch}")
        if self.lowering is Lowering.MERGED and self.max_batch > 1:
            raise ValueError(
                f"the merged lowering takes one image per call, got max_batch {self.max_batch}; use low-rank"
            )

    def _check_form(self) -> None:
        one_expert = self.routing in (RoutingForm.EXPERTS, RoutingForm.PINNED)
        if one_expert != (self.lowering is Lowering.PLAIN):
            raise ValueError(f"--lowering {self.lowering} does not go with --routing {self.routing}; leave it to auto")
        if (self.routing is RoutingForm.PINNED) != (self.pinned is not None):
            raise ValueError(f"routing pinned names a degradation, others none; got {self.routing}, {self.pinned!r}")
        if self.io not in IMAGE_TYPES:
            raise ValueError(f"--io is {' or '.join(IMAGE_TYPES)}; got {self.io!r}")

    @property
    def form(self) -> str:
        """The form of routing as the command line names it: `graph`, `split`, `experts`, `pinned:NAME`."""
        return f"{self.routing}:{self.pinned}" if self.pinned else self.routing.value

    @property
    def size_range(self) -> tuple[int, int]:
        """The smallest and largest side in pixels of the images that are restored."""
        return (min(self.shape), max(self.shape)) if self.shape else (self.min_size, self.max_size)

    @property
    def dtype(self) -> torch.dtype:
        """What the restorer is traced in."""
        return PRECISIONS[self.precision].dtype

    @property
    def image_dtype(self) -> torch.dtype:
        """The images' type at the graphs' border."""
        return IMAGE_TYPES[self.io]
