"""How the commands end: a user's mistake is one line on stderr and an exit code, not a traceback."""

import shutil
import signal
import sys
import threading
from collections.abc import Callable

import typer

from lorair.errors import LorairError

USAGE, MACHINE = 2, 3


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
    """Run a command line. Exit codes: 0 ok, 2 wrong usage or value, 3 the system refuses a file, else the error's own
    ``exit_code``; interrupted 130, terminated 143, both after everything half done is cleared away."""
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


def _terminate(number: int, frame: object) -> None:
    # SystemExit unwinds the stack, so that what was written aside goes; the signal's own end would leave it. Python
    # drops an exception that meets a destructor, so a second signal ends the process whatever happens.
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)
