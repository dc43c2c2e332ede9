"""The command `lorair-serve up`."""

import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

NETWORK, SERVER = "Network", "Server process"


def up(
    model: Annotated[str, typer.Option("--model", "--ckpt", "-m", help="Checkpoint or bundle folder.")] = "default",
    repo: Annotated[Path | None, typer.Option(help="Repository of 'lorair-serve repo', instead of a model.")] = None,
    address: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0 for all networks.", rich_help_panel=NETWORK)
    ] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(help="Port of HTTP.", rich_help_panel=NETWORK)] = 8000,
    grpc_port: Annotated[int, typer.Option(help="Port of gRPC.", rich_help_panel=NETWORK)] = 8001,
    metrics_port: Annotated[int, typer.Option(help="Port of Prometheus metrics.", rich_help_panel=NETWORK)] = 8002,
    log_file: Annotated[Path | None, typer.Option(help="File for the server's log.", rich_help_panel=SERVER)] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to load the models.", rich_help_panel=SERVER)] = 300,
    tritonserver: Annotated[
        Path | None,
        typer.Option(help="Executable, or folder of nvidia-pytriton; default: search.", rich_help_panel=SERVER),
    ] = None,
) -> None:
    """Serve a model on this machine until interrupted, on the GPU if there is one.

    Searches for tritonserver in LORAIR_TRITONSERVER, PATH, NVIDIA's container, and the folder `tritonserver` of this
    Python environment. An engine needs the container, where Triton's own backend runs it (see lorair-serve repo).

    Exit codes: 0 stopped, 1 no such checkpoint, 2 wrong usage, 3 no tritonserver, 4 damaged bundle, 7 not started.
    """
    import torch

    from lorair_serving.repository import Service, write_repository
    from lorair_serving.server import Ports, running_server

    with tempfile.TemporaryDirectory(prefix="lorair-serve-") as scratch:
        if repo is None:
            repo = Path(scratch) / "repository"
            device = "auto" if torch.cuda.is_available() else "cpu"
            write_repository(model, repo, Service(device=device), backend="python")
        ports = Ports(http_port, grpc_port, metrics_port, address)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with running_server(repo, ports, log_file, timeout, tritonserver) as server:
            typer.echo(
                f"ready: {server.http} (HTTP), {address}:{grpc_port} (gRPC), "
                f"http://{address}:{metrics_port}/metrics\n"
                f"try:   lorair restore photo.jpg --model triton://{address}:{grpc_port}/lorair\n"
                "stop:  Ctrl-C",
                err=True,
            )
            try:
                code = server.process.wait()
            except KeyboardInterrupt:
                typer.echo("stopping", err=True)
                return
        raise typer.Exit(code)
