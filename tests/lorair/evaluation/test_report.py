"""Summaries, tables, files and the sheet of an evaluation of known scores."""

import csv
import math
from dataclasses import replace
from io import StringIO

import pytest
from PIL import Image
from rich.console import Console

from lorair.evaluation import (
    EvaluationReport,
    Sheet,
    confusion,
    evaluate,
    report_of,
    score_pairs,
    summarize,
    write_report,
)
from lorair.evaluation.sheet import SIDE
from lorair.evaluation.summary import average
from lorair.evaluation.tables import confusion_table, published_table, task_table
from lorair.settings import Published


@pytest.fixture
def scores(evaluation):
    return evaluation.scores


def test_summary(scores, decibels):
    dark, hazy = summarize(scores)
    assert (dark.task, dark.images, hazy.task, hazy.images) == ("LOL", 3, "SOTS", 1)
    assert dark.before.psnr == pytest.approx(sum(map(decibels, (20, 30, 40))) / 3, abs=1e-6)
    assert dark.accuracy == pytest.approx(2 / 3)
    both = average([dark, hazy])
    assert both.images == 4
    assert both.after.psnr == pytest.approx((dark.after.psnr + hazy.after.psnr) / 2)
    assert both.accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert confusion(scores) == {"low_light": {"low_light": 2, "haze": 1}, "haze": {"haze": 1}}


def text_of(table):
    console = Console(file=StringIO(), width=100)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_tables(scores, brighten):
    summaries = summarize(scores)
    lines = text_of(task_table(summaries))
    assert lines[1][:2] == ["LOL", "3"]
    assert lines[1][-1] == "0.67"
    assert lines[-1][:2] == ["average", "4"]
    assert text_of(confusion_table(confusion(scores), brighten.degradations)) == [
        ["true", "/", "predicted", "haze", "low_light"],
        ["low_light", "1", "2"],
        ["haze", "1", "·"],
    ]
    rows = [
        Published("A", "paper", {"LOL": (20.0, 0.9), "SOTS": (31.0, 0.95, 0.1), "average": (25.51, 0.93)}),
        Published("B", "other", {"LOL": (21.0,), "SOTS": (30.0,), "GoPro": (40.0,), "average": (30.33,)}),
        Published("C", "other", {"SOTS": (30.5,)}),
        Published("D", "third", {"average": (25.0, 0.8)}),
        Published("E", "not found", unknown=("LOL",)),
    ]
    psnr, ssim = zip(*(summary.after for summary in summaries), strict=True)
    *lines, caption, rest = text_of(published_table(summaries, rows))
    assert lines == [
        ["PSNR,", "SSIM", "LOL", "SOTS", "average", "from"],
        ["this", "model", *(f"{value:.2f}" for value in (*psnr, sum(psnr) / 2)), "1"],
        [f"{value:.3f}" for value in (*ssim, sum(ssim) / 2)],
        ["A", "20.00", "31.00", "25.51", "2"],
        ["0.900", "0.950", "0.930"],
        ["B", "21.00", "30.00", "25.50", "3"],
        ["C", "-", "30.50", "-", "3"],
        ["D", "-", "-", "25.00", "4"],
        ["0.800"],
    ]
    assert " ".join(caption + rest) == "1 measured, 4 images; 2 paper; 3 other; 4 third"


def test_report(evaluation, scores, tmp_path, brighten, pair, read_json):
    pairs = [pair(100, "a", 600, 300, error=20), pair(110, "a", error=0), pair(120, "a", error=40), pair(100, "b")]
    pictured = replace(evaluation, sheet=evaluate(brighten, pairs).sheet)
    paths = write_report(tmp_path / "out", report_of(evaluation, {"model": "best.pt"}), pictured)
    assert sorted(path.name for path in paths) == sorted(path.name for path in (tmp_path / "out").iterdir())
    record = read_json(EvaluationReport, paths[0].read_text())
    assert [task["task"] for task in record["tasks"]] == ["LOL", "SOTS"]
    assert record["tasks"][0]["psnr"] == pytest.approx(summarize(scores)[0].after.psnr)
    assert record["confusion"]["low_light"] == {"low_light": 2, "haze": 1}
    assert record["protocols"]["basicsr-rgb"]["window"] == {"size": 11, "sigma": 1.5}
    rows = list(csv.DictReader(StringIO(paths[1].read_text())))
    assert [row["name"] for row in rows] == [score.name for score in scores]
    assert [float(row["psnr"]) for row in rows] == [score.after.psnr for score in scores]
    with Image.open(paths[2]) as image:
        assert image.width > 6 * SIDE
        assert SIDE < image.height < 2 * SIDE


def test_the_sheet_has_the_best_and_the_worst(brighten, pair, decibels):
    sheet = Sheet()
    for evaluated in score_pairs(brighten, [pair(100, "a", error=error) for error in (20, 0, 26, 40)]):
        sheet.add(evaluated)
    worst, best = sheet._extremes["a"]
    assert (worst.score.before.psnr, best.score.before.psnr) == (math.inf, pytest.approx(decibels(26)))


def test_equal_images_are_null_in_json(brighten, pair):
    equal = evaluate(brighten, [pair(100, "a", error=0)])
    [task] = report_of(equal, {}).tasks
    assert (task.input_psnr, task.input_ssim) == (None, 1)
    assert "inf" in text_of(task_table(equal.summaries))[1]


def test_published_figures_are_left_out_under_another_protocol(brighten, pair):
    rows = (Published("A", "paper", {"a": (20.0, 0.9)}),)
    assert evaluate(brighten, [pair(100, "a")], published=rows).published == rows
    assert evaluate(brighten, [pair(100, "a")], published=rows, protocol="rgb-border4").published == ()
