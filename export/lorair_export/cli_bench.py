"""The command line `lorair-bench`."""

from lorair.console import application, run
from lorair_export.cli_experts import experts
from lorair_export.cli_latency import latency
from lorair_export.cli_restorer import restorer
from lorair_export.cli_step import step

app = application("Measure models, correctness first.")
for command in (latency, restorer, experts, step):
    app.command()(command)


def main() -> None:
    run(app)
