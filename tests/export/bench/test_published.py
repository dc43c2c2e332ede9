"""The published form and torch.compile as models to restore with and to measure against."""

import pytest
import torch
from lorair_export.bench.published_runtime import PublishedRuntime

from lorair.errors import RuntimeUnavailableError
from lorair.inference.torch_runtime import CompiledRuntime, TorchRuntime
from lorair.model.router import Routing


@pytest.fixture
def backend(monkeypatch):
    """Dynamo without Inductor, which takes minutes: the graphs that it would compile."""
    graphs = []

    def counting(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compile(self, backend=counting, **how))
    torch.compiler.reset()
    return graphs


def mixed(model, batch: int) -> Routing:
    experts = len(model.degradations)
    gates = torch.eye(experts)[torch.arange(batch) % experts]
    return Routing(None, gates, torch.randn(batch, model.config.router.prior_dim))


@pytest.mark.parametrize("runtime", [TorchRuntime, CompiledRuntime, PublishedRuntime])
def test_a_scheme_names_one_runtime(runtime):
    own = {TorchRuntime: "", CompiledRuntime: "compile:", PublishedRuntime: "published:"}[runtime]
    for scheme in ("", "compile:", "published:", "openvino:"):
        for checkpoint in ("best.pt", "runs/a.safetensors", "default"):
            assert runtime.accepts(f"{scheme}{checkpoint}") == (scheme == own)
        assert not runtime.accepts(f"{scheme}bundle/")


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("size", [(40, 44), (70, 90)])
def test_published_restores_as_torch(export_checkpoint, export_model, batch, size):
    images, routing = torch.rand(batch, 3, *size), mixed(export_model, batch)
    runtime, reference = PublishedRuntime.open(f"published:{export_checkpoint}", "cpu"), TorchRuntime(export_model)
    for known in (routing, None):
        restored, gates = runtime.restore(images, known)
        expected, expected_gates = reference.restore(images, known)
        assert (expected - images).abs().mean() > 0.05
        torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(gates, expected_gates, rtol=0, atol=1e-6)


def test_compiled_once_for_all_experts_and_anew_for_a_size(backend, export_checkpoint, export_model):
    runtime = CompiledRuntime.open(f"compile:{export_checkpoint}", "cpu")
    reference, routing = TorchRuntime(export_model), mixed(export_model, 3)
    for size, compiled in (((40, 44), 1), ((70, 90), 2), ((40, 44), 2)):
        images = torch.rand(3, 3, *size)
        restored, _ = runtime.restore(images, routing)
        torch.testing.assert_close(restored, reference.restore(images, routing)[0], rtol=0, atol=1e-6)
        assert len(backend) == compiled


def test_a_machine_that_cannot_compile_says_so(monkeypatch, export_checkpoint):
    def failing(graph, inputs):
        raise RuntimeError("no C++ compiler")

    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **how: compile(self, backend=failing, **how))
    torch.compiler.reset()
    runtime = CompiledRuntime.open(f"compile:{export_checkpoint}", "cpu")
    with pytest.raises(RuntimeUnavailableError, match=r"no C\+\+ compiler.*without compile:"):
        runtime.restore(torch.rand(1, 3, 32, 32), None)
