"""Schemas of what --json prints: a validator takes what a command prints and rejects what it would not."""

from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

from lorair.cli.console import print_json
from lorair.cli.schema import reference_page, schema_of


@dataclass(frozen=True)
class Part:
    """A part.

    Attributes:
        size: height and width in pixels.
    """

    size: tuple[int, int]
    kind: Literal["conv", "norm"] = "conv"


@dataclass(frozen=True)
class Whole:
    """A whole,
    made of parts.

    More about it.

    Attributes:
        path: where it is,
            in two lines.
        psnr_db: absent where nothing was measured.
    """

    path: Path
    parts: tuple[Part, ...]
    largest: Part | None = None
    psnr_db: float | None = None
    gates: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    ready: bool = True


WHOLE = Whole(Path("a/b"), (Part((3, 4)),), Part((5, 6), "norm"), 30, {"rain": 0.5}, {"steps": [1, None]})


def test_what_is_printed_fits_its_schema(capsys, read_json):
    print_json(WHOLE)
    assert read_json(Whole, capsys.readouterr().out) == {
        "path": "a/b",
        "parts": [{"size": [3, 4], "kind": "conv"}],
        "largest": {"size": [5, 6], "kind": "norm"},
        "psnr_db": 30,
        "gates": {"rain": 0.5},
        "training": {"steps": [1, None]},
        "ready": True,
    }
    print_json(replace(WHOLE, largest=None, psnr_db=None, parts=()), indent=None)
    assert capsys.readouterr().out.count("\n") == 1


PLAIN = {"path": "a", "parts": [], "largest": None, "psnr_db": 1.5, "gates": {}, "training": {}, "ready": True}
VALIDATOR = jsonschema.Draft202012Validator(schema_of(Whole))


def test_plain_data_of_these_types_fit():
    VALIDATOR.check_schema(VALIDATOR.schema)
    assert VALIDATOR.is_valid(PLAIN)


@pytest.mark.parametrize(
    "change",
    [
        {"path": 3},
        {"parts": [{"size": [3], "kind": "conv"}]},
        {"parts": [{"size": [3, 4, 5], "kind": "conv"}]},
        {"parts": [{"size": [3, "4"], "kind": "conv"}]},
        {"parts": [{"size": [3, 4], "kind": "pool"}]},
        {"largest": {"size": [3, 4]}},
        {"psnr_db": "30"},
        {"gates": {"rain": "0.5"}},
        {"ready": "yes"},
        {"surprise": 1},
    ],
)
def test_other_data_do_not_fit(change):
    assert not VALIDATOR.is_valid({**PLAIN, **change})


@pytest.mark.parametrize("name", PLAIN)
def test_every_field_is_required(name):
    assert not VALIDATOR.is_valid({key: value for key, value in PLAIN.items() if key != name})


def test_numbers_that_json_has_not_are_an_error():
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json(replace(WHOLE, psnr_db=float("inf")))


def test_a_type_without_counterpart_is_an_error():
    @dataclass
    class Odd:
        value: complex

    with pytest.raises(TypeError, match="complex"):
        schema_of(Odd)
    with pytest.raises(TypeError, match="complex is not plain data"):
        print_json(Odd(1j))


def test_the_reference_names_every_field_and_what_it_means():
    page = reference_page({"program verb": Whole}).splitlines()
    assert page[:3] == ["## `program verb --json`", "", "A whole, made of parts."]
    assert "| `path` | string | where it is, in two lines. |" in page
    assert "| `parts` | list of object |  |" in page
    assert "| `parts[].size` | list of 2: integer, integer | height and width in pixels. |" in page
    assert "| `parts[].kind` | `conv` or `norm` |  |" in page
    assert "| `largest.size` | list of 2: integer, integer | height and width in pixels. |" in page
    assert "| `psnr_db` | number or null | absent where nothing was measured. |" in page
    assert "| `gates` | object of number |  |" in page
    assert "| `training` | object of any |  |" in page


def test_an_enumeration_is_its_values(capsys, read_json):
    class Role(StrEnum):
        FIRST = "first"
        LAST = "last"

    record = make_dataclass("Holder", [("role", Role)])
    print_json(record(Role.LAST))
    assert read_json(record, capsys.readouterr().out) == {"role": "last"}
    assert not jsonschema.Draft202012Validator(schema_of(record)).is_valid({"role": "middle"})
