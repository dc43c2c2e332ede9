"""The command line `lorair`, and what every program of ours begins, prints and ends with."""

from lorair.cli.console import application, print_json, run
from lorair.cli.convert import convert
from lorair.cli.data import data
from lorair.cli.degrade import degrade
from lorair.cli.evaluate import evaluate
from lorair.cli.info import info
from lorair.cli.restore import restore
from lorair.cli.schema import schema_of
from lorair.cli.train import train

__all__ = ["app", "application", "main", "print_json", "run", "schema_of"]

app = application("Restore images whose degradation is unknown, and train the models that do.")
for command in (restore, evaluate, info, convert, degrade, train):
    app.command()(command)
app.add_typer(data, name="data")


def main() -> None:
    run(app)
