"""The command `lorair-serve up`."""

from pathlib import Path
from typing import Annotated

import typer


def up(
    model: Annotated[str, typer.Option("--model", "--ckpt", "-m", help="Checkpoint or bundle folder.")] = "default",
    repo: Annotated[Path | None, typer.Option(help="Repository of 'lorair-serve repo', instead of a model.")] = None,
    http_port: Annotated[int, typer.Option(help="HTTP.")] = 8000,
    grpc_port: Annotated[int, typer.Option(help="gRPC.")] = 8001,
    metrics_port: Annotated[int, typer.Option(help="Prometheus metrics.")] = 8002,
    address: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 is every network.")] = "127.0.0.1",
    log_file: Annotated[Path | None, typer.Option(help="Keep the server's log here.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds until the models must be loaded.")] = 300,
    tritonserver: Annotated[
        Path | None, typer.Option(help="Its executable, or the folder of nvidia-pytriton; default: look for it.")
    ] = None,
) -> None:
    """Serve a model on this machine until interrupted, on the GPU if there is one.

    A bundle of an engine needs NVIDIA's container, where Triton's own backend runs it (lorair-serve repo).

    Exit codes: 0 stopped, 1 no such checkpoint, 2 wrong usage, 3 no server here, 4 damaged bundle, 7 not come up.
    """
    import signal
    import tempfile

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
