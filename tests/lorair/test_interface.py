"""What `import lorair` gives: the examples in its docstrings run, and nothing heavy is imported before it is used."""

import doctest
import inspect
import subprocess
import sys

import pytest

import lorair


@pytest.mark.parametrize("name", ["load", "restore"])
def test_the_examples_run(name):
    function = getattr(lorair, name)
    tests = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert sum(len(test.examples) for test in tests) >= 3
    for test in tests:
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


@pytest.mark.parametrize("name", ["load", "restore"])
def test_every_argument_is_described(name):
    function = getattr(lorair, name)
    described = inspect.getdoc(function).partition("\nArgs:\n")[2].partition("\nRaises:\n")[0]
    for parameter in inspect.signature(function).parameters:
        assert f"    {parameter}: " in described


def test_importing_is_light():
    heavy = ("torch", "open_clip", "onnx", "tensorrt", "matplotlib", "cv2", "numpy")
    code = f"import sys, lorair, lorair.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_names_are_found_where_they_live():
    for name in lorair.__all__:
        assert getattr(lorair, name)
    assert lorair.PRESETS["tiny"].degradations == ("noise", "rain", "haze", "snow", "low_light", "jpeg")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lorair.nothing  # noqa: B018
