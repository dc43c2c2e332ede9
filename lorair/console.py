"""How the commands end: a user's mistake is one line on stderr and an exit code, not a traceback."""

import sys
from collections.abc import Callable

import typer

from lorair.errors import LorairError

USAGE = 2


def application(help: str) -> typer.Typer:
    """A typer application in the style of all our commands."""
    return typer.Typer(
        help=help,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def run(app: Callable[[], None]) -> None:
    """Run a command line. Exit codes: 0 ok, 2 wrong usage or value, else the error's own ``exit_code``."""
    try:
        app()
    except (LorairError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, LorairError) else USAGE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
