"""Restore pairs with any runtime and measure the results, one pair at a time."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from lorair.data import BenchmarkPair
from lorair.evaluation.metrics import Lpips, Scores, protocol_named, unit_range
from lorair.images import Float32Image, Samples
from lorair.inference import Runtime, restore_tensor, tensor_from_pixels, usable_tile
from lorair.model import Routing

ORACLE: Final = "oracle"


@dataclass(frozen=True)
class Score:
    """One pair, measured.

    Attributes:
        name: the pair's.
        task: the test set that it is of.
        protocol: of PSNR and SSIM.
        height: of the images that were compared, in pixels.
        width: the same.
        before: of the degraded image.
        after: of the restored one.
        lpips: of the restored one, None where it was not asked for.
        expert: the model's degradation for this pair, None where it has none.
        gates: the share of each degradation's expert.
        routed: whether the router chose the expert.
        seconds: in the runtime.
        notes: where the result differs from the request, such as smaller tiles.
    """

    name: str
    task: str
    protocol: str
    height: int
    width: int
    before: Scores
    after: Scores
    lpips: float | None
    expert: str | None
    gates: dict[str, float]
    routed: bool
    seconds: float
    notes: tuple[str, ...]

    @property
    def seen(self) -> str:
        """The degradation of the largest gate."""
        return max(self.gates, key=self.gates.__getitem__)

    @property
    def gain(self) -> float:
        """PSNR gained in dB; 0 where the degraded image is the clean one already and stays so."""
        return 0.0 if self.before.psnr == self.after.psnr else self.after.psnr - self.before.psnr


class Evaluated(NamedTuple):
    """A pair's score and images, RGB [H, W, 3]: `restored` float32 in [0, 1], the others as the pair has them."""

    score: Score
    degraded: Samples
    restored: Float32Image
    clean: Samples


def score_pairs(
    runtime: Runtime,
    pairs: Iterable[BenchmarkPair],
    protocol: str | None = None,
    degradation: str | None = None,
    tile: int | None = None,
    overlap: int = 32,
    lpips: Lpips | None = None,
) -> Iterator[Evaluated]:
    """Restore and measure pairs in turn; only one is in memory.

    Args:
        runtime: what runs the model.
        pairs: each names the protocol that it is measured in.
        protocol: a name of `lorair.evaluation.metrics.PROTOCOLS` to measure all of them in instead.
        degradation: a name of `runtime.degradations` for all pairs, `ORACLE` for each pair's own expert, or
            None to let the router choose.
        tile: side in pixels of overlapping tiles, None for whole images where the runtime takes them.
        overlap: pixels over which neighbouring tiles blend.
        lpips: measures LPIPS too.

    Raises:
        ValueError: the degradation or the tiles are not what the runtime takes, or a pair cannot be compared; it
            says which.
    """
    tile = usable_tile(runtime, tile, overlap)
    for pair in pairs:
        used = protocol_named(protocol or pair.protocol)
        try:
            degraded, clean = used.crop(pair.degraded), used.crop(pair.clean)
            before = used.measure(degraded, clean)
            expert = pair.expert if pair.expert in runtime.degradations else None
            pinned = _pinned(runtime, degradation, expert)
            start = time.perf_counter()
            image, gates, notes = restore_tensor(runtime, tensor_from_pixels(degraded), pinned, tile, overlap)
            seconds = time.perf_counter() - start
            restored = image[0].float().permute(1, 2, 0).cpu().numpy()
            after = used.measure(restored, clean)
            distance = None if lpips is None else lpips.measure(restored, unit_range(clean))
        except ValueError as error:
            raise ValueError(f"{pair.name}: {error}") from error
        score = Score(
            pair.name,
            pair.task,
            used.name,
            clean.shape[0],
            clean.shape[1],
            before,
            after,
            distance,
            expert,
            gates,
            pinned is None,
            seconds,
            notes,
        )
        yield Evaluated(score, degraded, restored, clean)


def _pinned(runtime: Runtime, degradation: str | None, expert: str | None) -> Routing | None:
    if degradation == ORACLE:
        if expert is None:
            known = ", ".join(runtime.degradations)
            raise ValueError(
                f"its task is not a degradation of the model ({known}); name one of them, or let the router choose"
            )
        degradation = expert
    return None if degradation is None else runtime.pin(degradation, 1)
