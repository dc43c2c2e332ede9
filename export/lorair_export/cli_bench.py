"""The command line `lorair-bench`."""

from lorair.console import application, run
from lorair_export.cli_experts import experts
from lorair_export.cli_latency import latency
from lorair_export.cli_restorer import restorer

app = application("Measure models, correctness first.")
for command in (latency, restorer, experts):
    app.command()(command)


def main() -> None:
    run(app)
