"""docs/reference/json.md says what every command prints with --json; run as a program, this file writes it."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from lorair.cli.schema import reference_page

PAGE = Path(__file__).parents[1] / "docs/reference/json.md"
PROGRAMS = {
    "lorair": "lorair.cli",
    "lorair-export": "lorair_export.cli",
    "lorair-bench": "lorair_export.cli.bench",
    "lorair-serve": "lorair_serving.cli",
}
HEAD = """# JSON

What commands print on stdout with `--json`: one object, or one line of JSON per item where the command says so. All
fields are always there, and there are no others; `items[].name` is a field of each item of a list, `items{}.name` one
of each value of an object. The JSON Schema of a record, for a validator:

```python
from lorair.checkpoints import CheckpointFacts
from lorair.cli import schema_of

schema_of(CheckpointFacts)
```

"""


def records():
    """The record of each command, from the module `records` of each program's package."""
    rooms = [name for name in ("lorair.cli", "lorair_export.cli", "lorair_serving.cli") if find_spec(f"{name}.records")]
    return {command: record for room in rooms for command, record in import_module(f"{room}.records").RECORDS.items()}


def page():
    return HEAD + reference_page(records())


def commands(group, name):
    """The commands of a program and of its groups, by the words that call them."""
    for info in group.registered_commands:
        yield f"{name} {info.name or info.callback.__name__}", info.callback
    for inner in group.registered_groups:
        yield from commands(inner.typer_instance, f"{name} {inner.name}")


def test_the_page_is_current():
    assert PAGE.read_text() == page(), "write it again: python tests/test_json_reference.py"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_that_prints_json_has_a_record(program):
    app = import_module(PROGRAMS[program]).app
    assert isinstance(app, typer.Typer)
    printing = {name for name, call in commands(app, program) if "json" in call.__annotations__}
    assert printing == {command.partition(" --")[0] for command in records() if command.split()[0] == program}


if __name__ == "__main__":
    PAGE.write_text(page())
