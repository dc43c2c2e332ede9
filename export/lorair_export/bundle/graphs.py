"""What a manifest says of each graph: its border, the sizes that it takes, an engine's profiles."""

from dataclasses import dataclass

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph.

    Attributes:
        name: of the tensor.
        dtype: as numpy names it.
        shape: a number for each fixed dimension, a name for each free one.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Profile:
    """The shapes `[B, 3, H, W]` of images that an engine is built for.

    Attributes:
        min: the smallest in every dimension.
        opt: the usual one, which kernels are chosen for.
        max: the largest in every dimension.
    """

    min: Shape
    opt: Shape
    max: Shape

    def __str__(self) -> str:
        return " .. ".join("x".join(map(str, shape)) for shape in (self.min, self.opt, self.max))

    @property
    def shapes(self) -> tuple[Shape, Shape, Shape]:
        """`min`, `opt` and `max`."""
        return self.min, self.opt, self.max

    def takes(self, height: int, width: int) -> bool:
        """Whether it takes images of this size as they are."""
        return self.min[2] <= height <= self.max[2] and self.min[3] <= width <= self.max[3]


@dataclass(frozen=True)
class Graph:
    """One graph of a bundle.

    Attributes:
        name: `model`, `router`, `restorer` or `restorer.DEGRADATION`.
        file: what is run, an ONNX graph or an engine.
        inputs: the images first.
        outputs: in the graph's order.
        size_range: the smallest and largest image side in pixels.
        source: the ONNX file that an engine was built from; empty for an ONNX graph.
        profiles: the image shapes that an engine takes; none for an ONNX graph.
        activation_mib: the activation memory of each profile in MiB; empty where the library does not report it.
    """

    name: str
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size_range: tuple[int, int]
    source: str = ""
    profiles: tuple[Profile, ...] = ()
    activation_mib: tuple[float, ...] = ()

    @property
    def image_dtype(self) -> str:
        """`float32` in [0, 1], or `uint8` in 0..255."""
        return self.inputs[0].dtype

    @property
    def fixed_batch(self) -> int | None:
        """How many images every call takes; None where the number is free."""
        batch = self.inputs[0].shape[0]
        return batch if isinstance(batch, int) else None

    @property
    def shape(self) -> tuple[int, int] | None:
        """The images' height and width where they are fixed, else None."""
        height, width = self.inputs[0].shape[-2:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    @property
    def compared_sizes(self) -> tuple[tuple[int, int] | None, ...]:
        """Heights and widths at which it is compared with a model: the usual ones of several profiles, between which
        images are filled up; else the fixed one, or None for any in `size_range`."""
        usual = dict.fromkeys(profile.opt[2:] for profile in self.profiles)
        return tuple(usual) if len(self.profiles) > 1 else (self.shape,)

    def profiles_for(self, height: int, width: int) -> list[Profile]:
        """An engine's profiles that take images of this size, filled up to their smallest: those with least to fill."""

        def filled(profile: Profile) -> int:
            return max(height, profile.min[2]) * max(width, profile.min[3])

        holding = [profile for profile in self.profiles if height <= profile.max[2] and width <= profile.max[3]]
        least = min(map(filled, holding), default=0)
        return [profile for profile in holding if filled(profile) == least]
