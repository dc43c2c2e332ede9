"""The command line `lorair-serve`."""

from lorair.cli.console import application, run
from lorair_serving.cli.load import load
from lorair_serving.cli.repo import repo
from lorair_serving.cli.up import up

app = application("Serve models through Triton Inference Server.")
for command in (repo, up, load):
    app.command()(command)


def main() -> None:
    run(app)
