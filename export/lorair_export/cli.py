"""The command line `lorair-export`."""

from lorair.console import application, run
from lorair_export.cli_onnx import onnx

app = application("Export checkpoints to what other runtimes run.")
app.command()(onnx)


@app.callback()
def group() -> None:
    """Export checkpoints to what other runtimes run."""


def main() -> None:
    run(app)
