"""The least work of each operation: bytes to and from memory, each operand once, and FLOPs, two per multiply-add."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lorair_kernels.reference import factor_shapes


@dataclass(frozen=True)
class Ceilings:
    """The GPU's measured ceilings: copy bandwidth in GB/s, read and written, and a bf16 product in TFLOP/s."""

    gbs: float
    tflops: float


@dataclass(frozen=True)
class Work:
    """Bytes and FLOPs of one launch."""

    bytes: float
    flops: float

    def floor_ms(self, ceilings: Ceilings) -> float:
        """The roofline's time in ms: all bytes or all FLOPs at the ceiling, whichever takes longer."""
        return max(self.bytes / (1e6 * ceilings.gbs), self.flops / (1e9 * ceilings.tflops))


def floor_ms(work: Iterable[Work], ceilings: Ceilings) -> float:
    """The roofline's time in ms of launches one after the other."""
    return sum(launch.floor_ms(ceilings) for launch in work)


def merge_work(shapes: Sequence[int], experts: int, sets: int, itemsize: int) -> Work:
    """`merge_experts`: weights and factors read, `sets` weight sets written; one active expert a set."""
    weights = factors = flops = 0
    for rows, columns, rank in factor_shapes(shapes):
        weights += rows * columns
        factors += experts * rank * (rows + columns)
        flops += 2 * sets * rows * rank * columns
    return Work(itemsize * ((1 + sets) * weights + factors), flops)


def convolution_work(
    tokens: int,
    inputs: int,
    outputs: int,
    itemsize: int = 2,
    *,
    taps: int = 1,
    sets: int = 1,
    gated: bool = False,
    added: bool = False,
) -> Work:
    """A convolution: `taps` 9 for 3x3, `outputs` before a gate halves them, `added` where a residual is read."""
    written = outputs // 2 if gated else outputs
    moved = tokens * (inputs + written * (2 if added else 1)) + sets * taps * inputs * outputs
    return Work(itemsize * moved, 2 * tokens * taps * inputs * outputs)


def depthwise_work(tokens: int, channels: int, itemsize: int = 2) -> Work:
    """The depthwise 3x3 convolution of 2C channels with its gate, where `channels` is C."""
    return Work(itemsize * 3 * tokens * channels, 36 * tokens * channels)


def attention_work(batch: int, channels: int, itemsize: int = 2, sets: int = 1) -> Work:
    """The channel attention folded into C x C weights of each image."""
    moved = itemsize * (2 * sets + batch) * channels**2
    return Work(moved, 2 * batch * channels**2)


def feed_forward_work(tokens: int, channels: int, itemsize: int = 2, sets: int = 1) -> Work:
    """The feed-forward half of a block in one launch: the map read and written once."""
    return Work(itemsize * (2 * tokens * channels + 3 * sets * channels**2), 6 * tokens * channels**2)


def lowrank_work(tokens: int, inputs: int, outputs: int, ranks: int, itemsize: int = 2) -> Work:
    """A 1x1 convolution with `ranks` active ranks of experts, whose down-projections are written in float32."""
    plain = convolution_work(tokens, inputs, outputs, itemsize)
    factors = ranks * (inputs + outputs)
    return Work(plain.bytes + itemsize * factors + 4 * tokens * ranks, plain.flops + 2 * tokens * factors)


def weight_grad_work(tokens: int, inputs: int, outputs: int, itemsize: int = 2) -> Work:
    """The gradient of a 1x1 convolution's weight, written in float32."""
    return Work(itemsize * tokens * (inputs + outputs) + 4 * inputs * outputs, 2 * tokens * inputs * outputs)


def local_mean_work(tokens: int, windows: int, channels: int, itemsize: int = 2) -> Work:
    """The local mean: the map read, a mean for each window written."""
    return Work(itemsize * channels * (tokens + windows), 0)
