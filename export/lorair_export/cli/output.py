"""Where a command prints: for people on stderr, for programs one JSON object on stdout, everything into a log file."""

import logging
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.console import Console
    from rich.progress import Progress

REPORT: Final = "Report"

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Folder of the bundle.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that exists.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan without writing files.", rich_help_panel=REPORT)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=REPORT)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=REPORT)]
LogFile = Annotated[
    Path | None, typer.Option("--log-file", help="Append everything that is printed to it.", rich_help_panel=REPORT)
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """What a command prints."""

    console: "Console"
    json: bool

    def say(self, *lines: str) -> None:
        """Lines for people; each stays one line, whatever is in it."""
        for line in lines:
            logger.info(line)
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def give(self, record: "DataclassInstance", lines: Iterable[str]) -> None:
        """The result in lines for people, and with --json as an object on stdout."""
        from lorair.cli.console import print_json

        self.say(*lines)
        if self.json:
            print_json(record)

    def progress(self) -> "Progress":
        """Bars for the phases of a build, gone when it is over."""
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        hidden = self.console.quiet or not self.console.is_terminal
        return Progress(*columns, console=self.console, transient=True, disable=hidden)

    def steps(self, progress: "Progress") -> Callable[[str], None]:
        """A function to call with each step as it begins: a line next to the bars, and in the log."""
        step = progress.add_task("", total=None)

        def on_step(text: str) -> None:
            logger.info(text)
            progress.update(step, description=text)

        return on_step


class StderrHandler(logging.Handler):
    """Prints records on the current sys.stderr, which progress bars replace while they are shown."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


@contextmanager
def opened_output(quiet: bool = False, json: bool = False, log_file: Path | None = None) -> Generator[Output]:
    """The output of one command. Warnings, of libraries too, go to stderr, with `quiet` only errors.

    The log file gets all of them, and the error that ends the command.

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
