"""The command line `lorair-bench`."""

from lorair.cli import application, run
from lorair_export.cli.latency import latency
from lorair_export.cli.restorer import restorer

app = application("Benchmark models; outputs are checked before anything is timed.")
for command in (latency, restorer):
    app.command()(command)


def main() -> None:
    run(app)
