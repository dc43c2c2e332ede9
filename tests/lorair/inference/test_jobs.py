"""Which files are restored to which."""

from pathlib import Path

import pytest

from lorair.inference.jobs import Job, plan_jobs


def test_plans_keep_structure_and_name_results(tmp_path: Path, photograph):
    for name in ("a.jpg", "sub/b.PNG", "sub/.hidden.png", "notes.txt"):
        photograph(tmp_path / name) if name != "notes.txt" else (tmp_path / name).write_text("")

    def planned(*inputs: str, output: str | None = None, **options) -> dict[str, str]:
        target = None if output is None else tmp_path / output
        jobs = plan_jobs([str(tmp_path / name) for name in inputs], target, **options)
        return {str(job.source.relative_to(tmp_path)): str(job.target.relative_to(tmp_path)) for job in jobs}

    assert planned("a.jpg") == {"a.jpg": "a_restored.jpg"}
    assert planned("a.jpg", output="b.png") == {"a.jpg": "b.png"}
    assert planned("", output="out") == {"a.jpg": "out/a.jpg"}
    assert planned("", output="out", recursive=True) == {"a.jpg": "out/a.jpg", "sub/b.PNG": "out/sub/b.PNG"}
    assert planned("**/*", output="out") == {"a.jpg": "out/a.jpg", "sub/b.PNG": "out/sub/b.PNG"}
    assert planned("a.jpg", "", "sub", output="o", extension="png", suffix="_x") == {
        "a.jpg": "o/a_x.png",
        "sub/b.PNG": "o/b_x.png",
    }


def test_earlier_results_are_no_inputs(tmp_path: Path, photograph):
    for name in ("a.png", "a_restored.png", "out/a.png"):
        photograph(tmp_path / name)
    assert plan_jobs([str(tmp_path)]) == [Job(tmp_path / "a.png", tmp_path / "a_restored.png")]
    (tmp_path / "a_restored.png").unlink()
    inside = plan_jobs([str(tmp_path)], tmp_path / "out", recursive=True)
    assert inside == [Job(tmp_path / "a.png", tmp_path / "out/a.png")]


def test_plans_that_would_lose_files_are_rejected(tmp_path: Path, photograph):
    for name in ("a.jpg", "a.png", "sub/a.jpg"):
        photograph(tmp_path / name)
    files = [str(tmp_path / "a.jpg"), str(tmp_path / "sub/a.jpg")]
    with pytest.raises(ValueError, match="both be written to"):
        plan_jobs(files, tmp_path / "out")
    with pytest.raises(ValueError, match="both be written to"):
        plan_jobs([str(tmp_path)], tmp_path / "out", extension="png")
    with pytest.raises(ValueError, match="would be overwritten"):
        plan_jobs([str(tmp_path)], tmp_path)
    with pytest.raises(ValueError, match="would be overwritten"):
        plan_jobs(files[:1], tmp_path / "sub" / ".." / "a.jpg")
    with pytest.raises(ValueError, match="is a file"):
        plan_jobs(files, tmp_path / "b.png")
    with pytest.raises(ValueError, match="no such file"):
        plan_jobs([str(tmp_path / "missing.png")])
    with pytest.raises(ValueError, match="no images"):
        plan_jobs([str(tmp_path / "*.tif")])
    with pytest.raises(ValueError, match="--ext"):
        plan_jobs(files[:1], extension="bmp")
