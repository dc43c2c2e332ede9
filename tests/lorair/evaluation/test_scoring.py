"""Scores of pairs over a runtime whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest

from lorair.evaluation import confusion, score_pairs, summarize


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_scores_of_known_errors(dtype, brighten, pair, decibels):
    pairs = [pair(100, "dark", expert="low_light", dtype=dtype), pair(200, "dark", 33, 47, 30, "low_light", dtype)]
    first, second = (evaluated.score for evaluated in score_pairs(brighten, pairs))
    # 0.1 is 25.5 levels: 5.5 too bright, and 4.5 too dark, where rounding to even gives 6 and 4.
    assert (first.before.psnr, first.after.psnr) == pytest.approx((decibels(20), decibels(6)), abs=1e-6)
    assert (second.before.psnr, second.after.psnr) == pytest.approx((decibels(30), decibels(4)), abs=1e-6)
    assert (first.seen, second.seen, first.routed) == ("low_light", "haze", True)
    assert (second.height, second.width) == (33, 47)
    assert first.gain == pytest.approx(decibels(6) - decibels(20), abs=1e-6)


def test_an_unrounded_protocol_sees_the_unrounded_output(brighten, pair, decibels):
    unrounded = [pair(100, "dark", protocol="wgws-rgb")]
    (own,) = score_pairs(brighten, unrounded)
    (asked,) = score_pairs(brighten, unrounded, "basicsr-rgb")
    assert (own.score.protocol, own.score.after.psnr) == ("wgws-rgb", pytest.approx(decibels(5.5), abs=1e-4))
    assert (asked.score.protocol, asked.score.after.psnr) == ("basicsr-rgb", pytest.approx(decibels(6), abs=1e-6))


def test_a_protocol_crops_before_restoring(brighten, pair):
    (evaluated,) = score_pairs(brighten, [pair(100, "dark", 35, 50, protocol="rgb-float-crop16")])
    assert brighten.sizes == [(32, 48)]
    assert evaluated.clean.shape == evaluated.restored.shape == (32, 48, 3)


def test_pairs_are_read_one_at_a_time(brighten, pair):
    read = []

    def pairs():
        for level in (100, 110, 120):
            read.append(level)
            yield pair(level, "dark")

    results = score_pairs(brighten, pairs())
    next(results)
    assert read == [100]


def test_naming_the_degradation(brighten, pair):
    pairs = [pair(100, "a", expert="low_light"), pair(100, "b", expert="haze")]
    assert [e.score.seen for e in score_pairs(brighten, pairs, degradation="haze")] == ["haze", "haze"]
    scores = [e.score for e in score_pairs(brighten, pairs, degradation="oracle")]
    assert [score.seen for score in scores] == ["low_light", "haze"]
    assert not confusion(scores)
    assert summarize(scores)[0].accuracy is None


@pytest.mark.parametrize("expert", [None, "moire"])
def test_an_oracle_needs_an_expert(expert, brighten, pair):
    with pytest.raises(ValueError, match=r"a-100.png: its task is not a degradation of the model \(haze, low_light\)"):
        list(score_pairs(brighten, [pair(100, "a", expert=expert)], degradation="oracle"))


def test_a_pair_of_two_sizes_is_named(brighten, pair):
    wrong = replace(pair(100, "a"), clean=np.zeros((32, 41, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a-100.png: images must be RGB"):
        list(score_pairs(brighten, [wrong]))


def test_tiles_reach_the_runtime(brighten, pair):
    list(score_pairs(brighten, [pair(100, "a", 96, 96)], tile=64, overlap=16))
    assert set(brighten.sizes) == {(64, 64)}
