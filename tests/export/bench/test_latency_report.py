"""The files of a latency run, and its comparison with an earlier one."""

import json
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from lorair_export.bench.latency import report
from lorair_export.bench.latency.cases import Case, Part, Plan
from lorair_export.bench.latency.columns import columns_of
from lorair_export.bench.latency.compare import compared, differences
from lorair_export.bench.latency.record import LatencyRecord, read_record, record_of
from lorair_export.bench.latency.report import json_of, prepare_report, write_report
from lorair_export.bench.latency.rows import Row

from lorair.errors import RuntimeUnavailableError

MACHINE = {"processor": "a fast one", "cores": 2, "gpu": None, "versions": {"torch": "2.11", "numpy": "2.0"}}
CASE = Case(64, 48, 2)
FAST = Row(
    "bundle", "onnx", CASE, psnr_db=101.0, calls=7, p50_ms=12.5, p90_ms=13.25, p99_ms=14.75, images_per_s=160.0,
    mpix_per_s=0.49152, load_ms=333.0, first_call_ms=44.0, peak_rss_mib=555.0, peak_cuda_mib=66.0,
)  # fmt: skip
SLOW = replace(FAST, model="published:best.pt", runtime="published", p50_ms=50.0, p99_ms=59.0, peak_rss_mib=1110.0)
WRONG = Row("<script>alert(1)", "onnx", CASE, reason="wrong output: 3.0 dB & <b>worse</b>")
PLAN = Plan([CASE], part=Part.RESTORER, device="cpu")


def record(*rows: Row, **machine) -> LatencyRecord:
    return record_of(rows, "published:best.pt", PLAN, {**MACHINE, **machine})


class Page(HTMLParser):
    """Texts of a page, its tags, and what it would fetch."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str | None] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        fetching = ("src", "href", "xlink:href", "data", "poster", "srcset")
        self.fetched += [value for name, value in attrs if name in fetching and not (value or "").startswith("#")]

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_the_page_loads_nothing_and_holds_every_figure(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [SLOW, replace(FAST, model="<i>$a$"), WRONG]
    comparison = compared(record(replace(FAST, p50_ms=25.0)), record(*rows))
    written = write_report(tmp_path, record(*rows), comparison)
    source = (tmp_path / "latency.html").read_text()
    page = Page(source)
    assert tmp_path / "latency.html" in written
    assert page.fetched == [] and "url(http" not in source and "@import" not in source
    assert not {"script", "link", "b", "i"} & page.tags and {"svg", "table"} <= page.tags
    for figure in ("2x64x48", "101", "12.5", "13.2", "14.8", "160", "0.492", "333", "44", "555", "66", "7"):
        assert figure in page.texts
    assert "wrong output: 3.0 dB & <b>worse</b>" in page.texts
    assert page.texts.count("<i>$a$") == 3 and "<script>alert(1), 2x64x48" in page.texts  # in the chart and two tables
    assert {"a fast one", "torch 2.11, numpy 2.0", "only in the earlier run", "only in this run"} <= set(page.texts)


def test_a_page_without_a_figure(tmp_path):
    written = write_report(tmp_path, record(WRONG))
    assert [path.name for path in written] == ["latency.json", "latency.html"]
    assert "wrong output: 3.0 dB & <b>worse</b>" in Page((tmp_path / "latency.html").read_text()).texts


def test_figures_outlive_a_chart_that_fails(tmp_path, monkeypatch):
    def fail(rows, form):
        raise ValueError("no font")

    monkeypatch.setattr(report, "drawn", fail)
    with pytest.raises(ValueError, match="no font"):
        write_report(tmp_path, record(FAST))
    assert json.loads((tmp_path / "latency.json").read_text())["rows"][0]["p50_ms"] == 12.5


def test_what_would_keep_a_report_from_being_written_is_found_before(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    prepare_report(tmp_path / "deep" / "report")
    assert (tmp_path / "deep" / "report").is_dir()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="cannot be written to"):
        prepare_report(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RuntimeUnavailableError, match=r"matplotlib .* pip install 'lorair\[export\]'"):
        prepare_report(tmp_path)


def test_rows_are_compared_with_the_first_model_of_their_case():
    large = Case(128, 128)
    rows = [SLOW, FAST, replace(SLOW, case=large, p50_ms=90.0), replace(FAST, case=large, p50_ms=180.0), WRONG]
    columns = columns_of(rows)
    assert columns["times"] == ["1", "4", "1", "0.5"]
    assert columns["model"] == ["published:best.pt", "bundle"] * 2
    assert "router" not in columns and columns["GPU MiB"] == ["66"] * 4


def test_runs_are_compared_by_model_and_case():
    gone, new = replace(FAST, model="old"), replace(FAST, model="new")
    before = record(replace(SLOW, p50_ms=40.0, psnr_db=90.0), FAST, gone)
    after = record(SLOW, replace(WRONG, model="bundle"), new)
    columns = compared(before, after)
    rows = {cells[0]: dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)}
    assert rows["published:best.pt"] == {
        "model": "published:best.pt", "images": "2x64x48", "part": "all", "p50 ms then": "40", "now": "50",
        "now / then": "1.25", "p99": "1.00", "MiB": "1.00", "dB then": "90", "dB now": "101", "": "",
    }  # fmt: skip
    assert [rows[name][""] for name in ("bundle", "new", "old")] == [
        "no figure now", "only in this run", "only in the earlier run",
    ]  # fmt: skip
    assert rows["bundle"]["now / then"] == rows["new"]["now / then"] == "-"


def test_another_machine_is_reported():
    before, after = record(SLOW), record(SLOW, processor="a slow one", versions={"torch": "2.12", "onnx": "1.2"})
    assert differences(before, before) == []
    assert differences(before, after) == [
        "processor: a fast one then, a slow one now",
        "torch: 2.11 then, 2.12 now",
        "numpy: 2.0 then, None now",
        "onnx: None then, 1.2 now",
    ]


def test_a_record_reads_as_it_was_written(tmp_path):
    pytest.importorskip("matplotlib")
    rows = (SLOW, replace(FAST, model="bundle"), WRONG)
    written = write_report(tmp_path, record(*rows))
    assert [path.name for path in written] == ["latency.json", "latency.png", "latency.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latency.html", "latency.json", "latency.png"]
    assert written[1].read_bytes()[:4] == b"\x89PNG"
    read = read_record(written[0])
    assert read == replace(record(*rows), taken=read.taken)
    plain = json.loads(written[0].read_text())
    assert plain["settings"]["iters"] == 30 and plain["settings"]["order"] == "interleaved"
    assert plain["rows"][0]["case"] == {"height": 64, "width": 48, "batch": 2}
    assert plain["rows"][2]["p50_ms"] is None and "3.0 dB" in plain["rows"][2]["reason"]


def test_other_files_are_rejected(tmp_path):
    plain = json.loads(json_of(record(FAST)))
    path = tmp_path / "latency.json"
    for content, reason in (
        (json.dumps({**plain, "format_version": 3}), "version 3"),
        (json.dumps({**plain, "format": "lorair-bundle"}), "lorair-bundle"),
        (json.dumps({**plain, "rows": [{**plain["rows"][0], "refused": None}]}), r"rows\[0\] has unknown fields"),
        (json.dumps({**plain, "settings": {**plain["settings"], "part": "tower"}}), "settings.part must be one of all"),
        ("[1]", "not a latency.json"),
        ("{", "not a latency.json"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=reason):
            read_record(path)
