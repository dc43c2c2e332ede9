"""The least that each operation must do: bytes to and from memory, each operand once, and FLOPs, 2 a multiply-add."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lorair_kernels.reference import factor_shapes

from lorair.model import RestorerConfig

FEED_FORWARD_CHANNELS = 256  # up to here one launch can hold the feed-forward half of a block


@dataclass(frozen=True)
class Ceilings:
    """What the GPU was measured to do at best: copying, GB/s read and written, and a bf16 product, TFLOP/s."""

    gbs: float
    tflops: float


@dataclass(frozen=True)
class Work:
    """Bytes and FLOPs of one launch."""

    bytes: float
    flops: float

    def floor_ms(self, ceilings: Ceilings) -> float:
        """The roofline's time: all bytes or all FLOPs at the ceiling, whichever takes longer."""
        return max(self.bytes / (1e6 * ceilings.gbs), self.flops / (1e9 * ceilings.tflops))


def floor_ms(work: Iterable[Work], ceilings: Ceilings) -> float:
    """The roofline's time of launches one after the other."""
    return sum(launch.floor_ms(ceilings) for launch in work)


def merge_work(shapes: Sequence[int], experts: int, sets: int, itemsize: int) -> Work:
    """``merge_experts``: weights and factors read, ``sets`` weight sets written; one active expert a set."""
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
    """A convolution: ``taps`` 9 for 3x3, ``outputs`` before a gate halves them, ``added`` where a residual is read."""
    written = outputs // 2 if gated else outputs
    moved = tokens * (inputs + written * (2 if added else 1)) + sets * taps * inputs * outputs
    return Work(itemsize * moved, 2 * tokens * taps * inputs * outputs)


def depthwise_work(tokens: int, channels: int, itemsize: int = 2) -> Work:
    """The depthwise 3x3 convolution of 2C channels with its gate, where ``channels`` is C."""
    return Work(itemsize * 3 * tokens * channels, 36 * tokens * channels)


def attention_work(batch: int, channels: int, itemsize: int = 2, sets: int = 1) -> Work:
    """The channel attention folded into C x C weights of each image."""
    moved = itemsize * (2 * sets + batch) * channels**2
    return Work(moved, 2 * batch * channels**2)


def feed_forward_work(tokens: int, channels: int, itemsize: int = 2, sets: int = 1) -> Work:
    """The feed-forward half of a block in one launch: the map read and written once."""
    return Work(itemsize * (2 * tokens * channels + 3 * sets * channels**2), 6 * tokens * channels**2)


def lowrank_work(tokens: int, inputs: int, outputs: int, ranks: int, itemsize: int = 2) -> Work:
    """A 1x1 convolution with ``ranks`` active ranks beside it, their products written in float32."""
    plain = convolution_work(tokens, inputs, outputs, itemsize)
    factors = ranks * (inputs + outputs)
    return Work(plain.bytes + itemsize * factors + 4 * tokens * ranks, plain.flops + 2 * tokens * factors)


def weight_grad_work(tokens: int, inputs: int, outputs: int, itemsize: int = 2) -> Work:
    """The gradient of a 1x1 convolution's weight, written in float32."""
    return Work(itemsize * tokens * (inputs + outputs) + 4 * inputs * outputs, 2 * tokens * inputs * outputs)


def local_mean_work(tokens: int, windows: int, channels: int, itemsize: int = 2) -> Work:
    """The local mean: the map read, a mean for each window written."""
    return Work(itemsize * channels * (tokens + windows), 0)


def restorer_work(config: RestorerConfig, size: int, batch: int, sets: int, itemsize: int = 2) -> tuple[Work, ...]:
    """A batch of ``size`` x ``size`` images with the mean over the whole map, one entry a launch of the fused plan.

    The vector part (prior head, modulation's convolutions) is left out: less than 0.01 % of either.
    """
    levels = len(config.encoder_blocks)

    def stage(level: int, blocks: int, modulated: bool) -> list[Work]:
        c, tokens = config.width * 2**level, batch * (size // 2**level) ** 2
        if c <= FEED_FORWARD_CHANNELS:
            feed_forward = [feed_forward_work(tokens, c, itemsize, sets)]
        else:
            feed_forward = [
                convolution_work(tokens, c, 2 * c, itemsize, sets=sets, gated=True),
                convolution_work(tokens, c, c, itemsize, sets=sets, added=True),
            ]
        block = [
            convolution_work(tokens, c, 2 * c, itemsize, sets=sets),
            depthwise_work(tokens, c, itemsize),
            attention_work(batch, c, itemsize, sets),
            convolution_work(tokens, c, c, itemsize, sets=batch, added=True),
            *feed_forward,
        ]
        modulation = [Work(itemsize * 2 * tokens * c, 0)] if modulated else []
        return modulation + blocks * block

    work = [convolution_work(batch * size**2, 3, config.width, itemsize, taps=9, sets=sets)]
    for level, blocks in enumerate(config.encoder_blocks):
        c, tokens = config.width * 2**level, batch * (size // 2 ** (level + 1)) ** 2
        work += stage(level, blocks, True)
        work += [convolution_work(tokens, 4 * c, 2 * c, itemsize, sets=sets)]
    work += stage(levels, config.middle_blocks, True)
    for i, blocks in enumerate(config.decoder_blocks):
        level = levels - 1 - i
        c, tokens = config.width * 2 ** (level + 1), batch * (size // 2 ** (level + 1)) ** 2
        work += [convolution_work(tokens, c, 2 * c, itemsize, sets=sets, added=True)]
        work += stage(level, blocks, config.decoder_modulation)
    ending = convolution_work(batch * size**2, config.width, 3, itemsize, taps=9, sets=sets, added=True)
    return (*work, ending)
