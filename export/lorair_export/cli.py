"""The command line `lorair-export`."""

from lorair.console import application, run
from lorair_export.cli_onnx import onnx
from lorair_export.cli_trt import trt

app = application("Export checkpoints to what other runtimes run.")
for command in (onnx, trt):
    app.command()(command)


def main() -> None:
    run(app)
