"""The rules of CONTRIBUTING.md that a machine can check."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [path for floor in ("lorair", "kernels", "export", "serving") for path in (ROOT / floor).rglob("*.py")]
OPTIONAL = (
    *("onnx", "onnxscript", "onnxruntime", "matplotlib", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"),
    *("openvino", "tritonclient", "google.protobuf", "psutil"),
)
PROGRAMS = ("lorair.cli", "lorair_export.cli", "lorair_export.cli.bench", "lorair_serving.cli")


def test_imports_run_downwards_only():
    linted = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    "program", ["lorair.cli", "lorair_export.cli", "lorair_export.cli.bench", "lorair_serving.cli"]
)
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
    long = {str(path): lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > 400}
    assert not long


def test_there_is_no_package_marker_where_a_folder_is_not_a_package():
    for folder in ("kernels", "export", "serving", "tests"):
        assert not (ROOT / folder / "__init__.py").exists()
