"""Rows, their file and the goals computed from them."""

from dataclasses import replace
from pathlib import Path

import pytest
from lorair_kernels.benchmarks import goals, results

MACHINE = results.Machine("GPU", "1.2", "3.4", "5.6", "abc")


def row(form="triton", shape="1", what="work", **values):
    known = {"p20_ms": 1.0, "p50_ms": 2.0, "p80_ms": 3.0, "gbs": 4.0, "tflops": 5.0, "fraction_of_roofline": 0.5}
    known |= {"dtype": "float16", "peak_mib": None, "error": 1e-4, "psnr_db": None} | values
    return results.Result(MACHINE, what, form, shape, **known)


def test_rows_are_added_below_the_old_ones(tmp_path):
    file = tmp_path / "results.csv"
    results.append(file, [row("a")])
    first = file.read_text()
    results.append(file, [row("b, c"), row("d", p50_ms=1 / 3)])
    assert file.read_text().startswith(first)
    assert [line.split(",")[0] for line in file.read_text().splitlines()] == ["gpu", "GPU", "GPU", "GPU"]
    assert file.read_text().splitlines()[1:3] == [
        "GPU,1.2,3.4,5.6,abc,work,a,1,float16,1,2,3,4,5,0.5,,0.0001,",
        'GPU,1.2,3.4,5.6,abc,work,"b, c",1,float16,1,2,3,4,5,0.5,,0.0001,',
    ]
    assert list(tmp_path.iterdir()) == [file]


def test_a_write_that_fails_leaves_the_old_rows(tmp_path, monkeypatch):
    file = tmp_path / "results.csv"
    results.append(file, [row("a")])
    before = file.read_text()

    def no_space(self, text):
        self.touch()
        raise OSError("no space")

    monkeypatch.setattr(Path, "write_text", no_space)
    with pytest.raises(OSError, match="no space"):
        results.append(file, [row("b")])
    assert file.read_text() == before


def test_a_file_of_other_columns_is_rejected(tmp_path):
    file = tmp_path / "results.csv"
    file.write_text("gpu,ms\n")
    with pytest.raises(ValueError, match=r"results.csv must have the columns gpu, driver"):
        results.append(file, [row()])
    assert file.read_text() == "gpu,ms\n"


def test_goals_are_read_from_rows():
    rows = [row("a"), row("b", p50_ms=3.0), row("a", "2"), row("b", "2", p50_ms=5.0), row("a", "3")]
    assert goals.figure("work", "b", "1", "p50_ms")(rows) == 3
    assert goals.ratio("work", "2", "b", "a")(rows) == 2.5
    assert goals.worst_ratio("work", "b", "a")(rows) == 2.5
    assert goals.worst_ratio("other", "b", "a")(rows) is None
    assert goals.ratio("work", "1", "b", "a", "peak_mib")(rows) is None
    goal = goals.Goal("g", goals.figure("work", "a", "1", "p50_ms"), high=2.0)
    assert goal.line(rows).split() == ["g", "<=", "2", "2", "yes"]
    assert replace(goal, low=2.1, high=float("inf")).line(rows).split() == ["g", ">=", "2.1", "2", "no"]
    assert goal.line([]).split() == ["g", "<=", "2", "not", "measured"]
