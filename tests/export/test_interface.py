"""What `import lorair_export` gives: the examples in its docstrings run, and nothing heavy is imported before it is
used."""

import doctest
import inspect
import subprocess
import sys

import lorair_export
import pytest

VERBS = ("export_onnx", "export_trt", "verify")


def run_example(name: str, replaced: dict[str, str]) -> None:
    text = inspect.getdoc(getattr(lorair_export, name))
    for old, new in replaced.items():
        assert old in text
        text = text.replace(f'"{old}"', repr(new))
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    assert len(test.examples) >= 4
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


def test_examples_of_onnx_and_verify_run(top1_checkpoint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run_example("export_onnx", {"best.pt": str(top1_checkpoint)})
    run_example("verify", {"best.pt": str(top1_checkpoint)})


def test_example_of_trt_runs(rtx, top1_checkpoint, monkeypatch, tmp_path):
    """As a newcomer would: TensorRT-RTX builds without a GPU."""
    monkeypatch.chdir(tmp_path)
    run_example("export_trt", {"best.pt": str(top1_checkpoint)})
    assert [path.name for path in tmp_path.iterdir()] == ["best-trt"]


@pytest.mark.parametrize("name", VERBS)
def test_every_argument_is_described(name):
    function = getattr(lorair_export, name)
    described, _, raised = inspect.getdoc(function).partition("\nArgs:\n")[2].partition("\nRaises:\n")
    for parameter in inspect.signature(function).parameters:
        assert f"    {parameter}: " in described
    assert "\nReturns:\n" in described and "Error: " in raised


def test_importing_is_light():
    heavy = ("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx_bindings", "numpy")
    code = f"import sys, lorair_export; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_names_are_found_where_they_live():
    for name in lorair_export.__all__:
        assert getattr(lorair_export, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lorair_export.nothing  # noqa: B018
