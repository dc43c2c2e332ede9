"""Where a command's words go: to people on stderr, to programs as one JSON object on stdout, all into a log file."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and make nothing.")]
LogFile = Annotated[Path | None, typer.Option("--log-file", help="Add everything that is told to this file.")]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """What a command says and gives back."""

    console: "Console"
    json: bool

    def say(self, *lines: str) -> None:
        """Lines for people; each stays one line, whatever is in it."""
        for line in lines:
            logger.info(line)
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def give(self, result: Mapping[str, Any], lines: Iterable[str]) -> None:
        """The result in words, and with --json as an object on stdout."""
        self.say(*lines)
        if self.json:
            print_json(result)

    def progress(self) -> "Progress":
        """Bars for the phases of a build, gone when it is over."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        hidden = self.console.quiet or not self.console.is_terminal
        return Progress(*columns, console=self.console, transient=True, disable=hidden)

    def steps(self, progress: "Progress") -> Callable[[str], None]:
        """A function to tell what begins, shown in a line of the bars and kept in the log."""
        step = progress.add_task("", total=None)

        def on_step(text: str) -> None:
            logger.info(text)
            progress.update(step, description=text)

        return on_step


def print_json(result: Mapping[str, Any]) -> None:
    """Plain data as one JSON object on stdout."""
    print(json.dumps(result, indent=2))


class StderrHandler(logging.Handler):
    """Records on what stderr is at the time, since bars put another one in its place while they are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


@contextmanager
def opened_output(quiet: bool = False, json: bool = False, log_file: Path | None = None) -> Iterator[Output]:
    """The output of one command. Warnings, of libraries too, go to stderr, with ``quiet`` errors alone.

    The log takes all of them, and the error that ends the command.

    Raises:
        OSError: the log file cannot be written.
    """
    from rich.console import Console

    root = logging.getLogger()
    level = root.level
    handlers: list[logging.Handler] = [StderrHandler(logging.ERROR if quiet else logging.WARNING)]
    if log_file is not None:
        file = logging.FileHandler(log_file, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        handlers.append(file)
        root.setLevel(logging.INFO)
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield Output(Console(stderr=True, quiet=quiet), json)
    except BaseException as error:
        logger.info("ended by %s: %s", type(error).__name__, error)
        raise
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
