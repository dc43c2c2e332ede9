"""The command line `lorair`."""

from lorair.cli_convert import convert
from lorair.cli_data import data
from lorair.cli_degrade import degrade
from lorair.cli_evaluate import evaluate
from lorair.cli_info import info
from lorair.cli_restore import restore
from lorair.cli_train import train
from lorair.console import application, run

app = application("Restore images whose degradation is unknown, and train the models that do.")
for command in (restore, evaluate, info, convert, degrade, train):
    app.command()(command)
app.add_typer(data, name="data")


def main() -> None:
    run(app)
