"""Bytes, FLOPs and the roofline against counts by hand."""

import pytest
from lorair_kernels.benchmarks import work
from lorair_kernels.benchmarks.work import Ceilings, Work


@pytest.mark.parametrize(
    ("done", "moved", "flops"),
    [
        # 10 tokens of 4 channels read, 6 written, 24 weights, 2 bytes each; 10 * 4 * 6 multiply-adds
        (work.convolution_work(10, 4, 6), 2 * (40 + 60 + 24), 480),
        (work.convolution_work(10, 4, 6, gated=True), 2 * (40 + 30 + 24), 480),
        (work.convolution_work(10, 4, 6, 4, sets=2, added=True), 4 * (40 + 2 * 60 + 48), 480),
        (work.convolution_work(10, 4, 6, taps=9), 2 * (40 + 60 + 9 * 24), 9 * 480),
        # 2C = 6 channels read and 3 written of 10 pixels; 9 taps on 6 channels
        (work.depthwise_work(10, 3), 2 * (60 + 30), 2 * 10 * 6 * 9),
        (work.attention_work(3, 4), 2 * (2 * 16 + 3 * 16), 2 * 3 * 16),
        (work.feed_forward_work(10, 4), 2 * (80 + 48), 2 * 10 * (4 * 8 + 4 * 4)),
        (work.local_mean_work(100, 49, 8), 2 * 8 * 149, 0),
        # weights 5 x 7 and 2 x 3 read once and written twice, factors of ranks 2 and 1 of three experts
        (work.merge_work((5, 7, 2, 2, 3, 1), 3, 2, 2), 2 * (3 * 41 + 3 * (24 + 5)), 4 * (70 + 6)),
    ],
)
def test_bytes_and_flops_by_hand(done, moved, flops):
    assert (done.bytes, done.flops) == (moved, flops)


def test_the_roofline_is_the_longer_of_bytes_and_flops():
    ceilings = Ceilings(gbs=4000, tflops=800)
    assert Work(8e6, 0).floor_ms(ceilings) == pytest.approx(0.002)
    assert Work(8e6, 8e9).floor_ms(ceilings) == pytest.approx(0.01)
    assert work.floor_ms([Work(8e6, 0), Work(8e6, 8e9)], ceilings) == pytest.approx(0.012)
