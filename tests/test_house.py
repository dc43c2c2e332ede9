"""The rules of CONTRIBUTING.md that a machine can check."""

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("lorair", "kernels/lorair_kernels", "export/lorair_export", "serving/lorair_serving")
SOURCES = [path for floor in ("lorair", "kernels", "export", "serving") for path in (ROOT / floor).rglob("*.py")]
TESTS = list((ROOT / "tests").rglob("*.py"))
ROOMS = [path for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")]
OPTIONAL = (
    *("onnx", "onnxscript", "onnxruntime", "matplotlib", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"),
    *("openvino", "tritonclient", "google.protobuf", "psutil"),
)
PROGRAMS = ("lorair.cli", "lorair_export.cli", "lorair_export.cli.bench", "lorair_serving.cli")


def test_floors_rooms_and_no_circle():
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_works_without_optional_packages(program):
    code = f"""
import sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))
sys.argv = ["program", "--help"]
from {program} import main
main()
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "Usage" in shown.stdout
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, {program}; print('torch' in sys.modules)"], capture_output=True, text=True
    )
    assert loaded.stdout == "False\n", loaded.stderr


def test_nothing_is_unpickled():
    for path in SOURCES:
        text = path.read_text()
        assert not re.search(r"\bpickle\.loads?\(|weights_only=False|\beval\(\"|(?<!\.)\bexec\(", text), path
        assert text.count("torch.load(") == text.count("weights_only=True)"), path


def test_files_are_short():
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (*SOURCES, *TESTS)}
    assert {path: count for path, count in lines.items() if count > 350} == {}
    assert statistics.median(lines.values()) <= 120


def test_functions_are_short():
    long = {}
    for path in SOURCES:
        if path.name.endswith("_triton.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                limit = 60 if is_command(path, node) else 80
                if length > limit:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert long == {}


def is_command(path, node):
    return path.parent.name == "cli" and not node.name.startswith("_")


def test_a_floor_is_a_list_of_rooms():
    entries = [path for path in (ROOT / "export/lorair_export").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 14


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_room_says_what_it_is_for(room):
    assert ast.get_docstring(ast.parse(room.read_text()))


def test_there_is_no_package_marker_where_a_folder_is_not_a_package():
    for folder in ("kernels", "export", "serving", "tests"):
        assert not (ROOT / folder / "__init__.py").exists()
