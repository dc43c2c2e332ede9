"""The command line `lorair-export`."""

from lorair.cli.console import application, run
from lorair_export.cli.doctor import doctor
from lorair_export.cli.inspect import inspect
from lorair_export.cli.onnx import onnx
from lorair_export.cli.trt import trt
from lorair_export.cli.verify import verify

app = application("Export checkpoints to what other runtimes run, look into it, and check it.")
for command in (onnx, trt, inspect, verify, doctor):
    app.command()(command)


def main() -> None:
    run(app)
