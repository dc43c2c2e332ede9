"""What all programs share: the version, JSON output, and user errors as one line and an exit code."""

import json
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from lorair.errors import LorairError
from lorair.plain_data import dict_from_dataclass

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

USAGE, MACHINE = 2, 3


def application(help: str) -> typer.Typer:
    """A program: a group of commands that also answers `--version`."""
    app = command_group(help)

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
        ] = False,
    ) -> None:
        pass

    assert options  # used: typer has registered it
    return app


def command_group(help: str) -> typer.Typer:
    """A group of commands in the style of all our programs."""
    return typer.Typer(
        help=help,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )


def print_json(record: "DataclassInstance", indent: int | None = 2) -> None:
    """Print a record as one JSON object on stdout, as `lorair.cli.schema.schema_of` its class describes it."""
    print(json.dumps(dict_from_dataclass(record), indent=indent, allow_nan=False), flush=True)


def run(app: Callable[[], None]) -> None:
    """Run a program. Exit codes: 0 ok, 2 wrong usage or value, 3 the system rejects a file, else the error's own
    `exit_code`; interrupted 130, terminated 143, both after temporary files are removed."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except (LorairError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, LorairError) else USAGE)
    except shutil.Error as error:  # a folder that was copied in part: its first file's reason
        print(f"error: {error.args[0][0][-1]}", file=sys.stderr)
        sys.exit(MACHINE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(MACHINE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"lorair {version('lorair')}")
        raise typer.Exit


def _terminate(number: int, frame: object) -> None:
    # SystemExit unwinds the stack, which removes temporary files; the signal's default action would leave them. Python
    # drops an exception that is raised in a destructor, so a second signal ends the process in any case.
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)
