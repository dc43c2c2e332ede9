"""The command line `lorair-export`."""

from lorair.console import application, run
from lorair_export.cli_doctor import doctor
from lorair_export.cli_inspect import inspect
from lorair_export.cli_onnx import onnx
from lorair_export.cli_trt import trt
from lorair_export.cli_verify import verify

app = application("Export checkpoints to what other runtimes run, look into it, and check it.")
for command in (onnx, trt, inspect, verify, doctor):
    app.command()(command)


def main() -> None:
    run(app)
