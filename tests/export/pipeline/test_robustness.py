"""Whatever stops an export, no half bundle is left, the old one stays, and one line says why."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lorair_export.bundle import new_bundle, read_bundle
from lorair_export.errors import ExportError
from lorair_export.pipeline import onnx as bundle

from lorair.system import files

MOMENTS = {
    "tracing": (bundle, "onnx_from_model"),
    "comparing": (bundle, "compare"),
    "naming": (files, "_replace_folder"),
}


@pytest.fixture
def export(merged, graph_of_merged, monkeypatch, tmp_path, run_command):
    """Run `lorair-export onnx` in an empty folder; the graph is the one that the session has exported already."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str, output: str = "out") -> int:
        words = ("--ckpt", merged.checkpoint, "-o", output, "--max-size", "160", *options)
        return run_command("lorair-export", "onnx", *words)

    return run


@pytest.fixture
def usual_signals():
    """Those of a terminal's program, whatever started the tests; what the command sets is undone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def stamp(folder: Path) -> bytes:
    read_bundle(folder)
    return (folder / "manifest.json").read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_leaves_nothing_half_done(export, usual_signals, monkeypatch, tmp_path, moment, number, code):
    assert export("--no-check") == 0
    before = stamp(tmp_path / "out")
    module, name = MOMENTS[moment]
    done = getattr(module, name)

    def interrupted(*arguments, **named):
        os.kill(os.getpid(), number)
        return done(*arguments, **named)

    monkeypatch.setattr(module, name, interrupted)
    assert export("--overwrite") == code
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and stamp(tmp_path / "out") == before
    assert export(output="other") == code
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_between_two_renames_the_old_bundle_comes_back(monkeypatch, tmp_path):
    target = tmp_path / "out"
    with new_bundle(target) as folder:
        (folder / "manifest.json").write_text("old")
    rename = os.replace

    def interrupted(source, goal):
        if Path(source).name == "new":
            raise KeyboardInterrupt
        rename(source, goal)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), new_bundle(target, overwrite=True) as folder:
        (folder / "manifest.json").write_text("new")
    assert (target / "manifest.json").read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_the_second_of_two_exports_is_rejected_or_wins_whole(tmp_path):
    target = tmp_path / "out"

    def write(text: str, overwrite: bool) -> None:
        with new_bundle(target, overwrite) as folder:
            (folder / "manifest.json").write_text(text)
            if text == "outer":
                write("inner", overwrite)

    with pytest.raises(ExportError, match="--overwrite"):
        write("outer", overwrite=False)
    assert (target / "manifest.json").read_text() == "inner"
    write("outer", overwrite=True)
    assert (target / "manifest.json").read_text() == "outer" and list(tmp_path.iterdir()) == [target]


WRITER = """
import sys
from pathlib import Path
from onnx import TensorProto, helper, save
from lorair_export.bundle import Graph, Manifest, TensorSpec, file_sha256, new_bundle, write_manifest

target, name, overwrite = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "overwrite"
border = [helper.make_tensor_value_info(value, TensorProto.FLOAT, [1]) for value in ("image", "restored")]
graph = helper.make_graph([helper.make_node("Identity", ["image"], ["restored"])], name, border[:1], border[1:])
with new_bundle(target, overwrite) as folder:
    save(helper.make_model(graph), folder / "model.onnx")
    files = {"model.onnx": file_sha256(folder / "model.onnx")}
    graphs = (Graph("model", "model.onnx", (TensorSpec("image", "float32", (1,)),), (), (2, 16)),)
    print("inside", flush=True)
    sys.stdin.readline()
    write_manifest(folder, Manifest("onnx", graphs, files, {}, name, "plain", "fp32", 20, 1, ("rain",), None))
"""


@pytest.mark.parametrize("mode", ["keep", "overwrite"])
def test_of_two_processes_one_bundle_is_whole(tmp_path, mode):
    """Both are at work on one folder before either ends; the manifest's SHA-256 tells a mixture."""
    target, names = tmp_path / "out", ("first", "second")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, target, name, mode],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in names
    ]  # fmt: skip
    assert [process.stdout.readline() for process in both] == ["inside\n", "inside\n"]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in both]
    won = [name for name, process in zip(names, both, strict=True) if process.returncode == 0]
    assert read_bundle(target).checkpoint in won and list(tmp_path.iterdir()) == [target]
    assert len(won) == 1 or mode == "overwrite"
    for process, told in zip(both, errors, strict=True):
        assert process.returncode == 0 or "ExportError" in told


def test_a_target_that_comes_between_check_and_rename_is_kept(monkeypatch, tmp_path):
    target = tmp_path / "out"
    rename = os.replace

    def beaten(source, goal):
        target.mkdir()
        (target / "manifest.json").write_text("theirs")
        rename(source, goal)

    monkeypatch.setattr(os, "replace", beaten)
    with pytest.raises(ExportError, match="another command"), new_bundle(target) as folder:
        (folder / "manifest.json").write_text("ours")
    assert (target / "manifest.json").read_text() == "theirs" and list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_line(export, tmp_path, capsys):
    """The limit on a file's size fails a write as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, hard))
    try:
        code = export("--no-check")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told = capsys.readouterr().err.splitlines()[-1]
    assert code == 3 and told.startswith("error: ") and told.endswith(os.strerror(errno.EFBIG))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(export, monkeypatch, tmp_path, capsys):
    def refuse(path, mode=0o777):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "mkdir", refuse)
        assert export("--no-check") == 3
    assert capsys.readouterr().err.splitlines()[-1] == "error: out: Read-only file system"
    (tmp_path / "file").touch()
    assert export("--no-check", output="file/out") == 3
    assert "file" in capsys.readouterr().err.splitlines()[-1]
