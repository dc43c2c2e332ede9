"""The command line `lorair-serve`."""

from lorair.console import application, run
from lorair_serving.cli_load import load
from lorair_serving.cli_repo import repo
from lorair_serving.cli_restore import restore
from lorair_serving.cli_up import up

app = application("Serve models through Triton Inference Server.")
for command in (repo, up, restore, load):
    app.command()(command)


def main() -> None:
    run(app)
