"""The restorer by the fused kernels, in Triton's interpreter where there is no GPU, against the torch restorer."""

import copy
from dataclasses import replace

import pytest
import torch
from lorair_kernels import backend as kernels_backend
from lorair_kernels import runs_triton

from lorair.model import fused
from lorair.model import restorer as restorer_module
from lorair.model.lorair import LoRAIR

pytestmark = pytest.mark.skipif(
    not runs_triton(torch.zeros(1, device="cuda" if torch.cuda.is_available() else "cpu")),
    reason="triton is not installed, or this GPU is older than its kernels",
)

GATES = {
    "one-hot": [[1.0, 0], [0, 1], [1, 0]],
    "soft": [[0.2, 0.8], [0.5, 0.5], [0.2, 0.8]],
    "none": [[0.0, 0], [1, 0], [0, 0]],
}


@pytest.fixture
def top_k():
    return 1


@pytest.fixture
def model(make_model, small_config, device, top_k):
    restorer = replace(small_config.restorer, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,), local_window=8)
    config = replace(small_config, degradations=("noise", "rain"), restorer=restorer)
    return make_model(top_k, config=config).to(device)


@pytest.fixture
def device():
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def kernels_by_torch(monkeypatch):
    """The kernels' operations by their torch references, which no interpreter slows."""
    monkeypatch.setattr(kernels_backend, "has_triton", lambda: False)
    monkeypatch.setattr(restorer_module, "runs_triton", lambda x: True)


def restore(model, images, gates, backend):
    model.restorer.backend = backend
    prior = torch.randn(len(images), model.config.router.prior_dim, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model.restorer(images, prior.to(images.device), gates.to(images.device))


@pytest.mark.parametrize(
    ("gates", "size", "top_k"),
    [
        ("one-hot", (7, 5), 1),  # padded, under the window
        ("soft", (11, 6), 2),  # padded, beyond the window
        pytest.param("one-hot", (11, 6), 2, marks=pytest.mark.full),
        pytest.param("soft", (17, 23), 2, marks=pytest.mark.full),
        pytest.param("none", (9, 4), 1, marks=pytest.mark.full),
        pytest.param("none", (9, 4), 2, marks=pytest.mark.full),
    ],
)
def test_a_mixed_batch_is_what_torch_makes_of_it(model, gates, size, device, monkeypatch):
    monkeypatch.setattr(fused, "MOST_SETS", 2)
    images = torch.rand(3, 3, *size, device=device)
    gates = torch.tensor(GATES[gates])
    expected = restore(model, images, gates, "torch")
    restored = restore(model, images, gates, "triton")
    change = (expected - images).norm()
    assert restored.shape == expected.shape
    assert (restored - expected).norm() < 1e-4 * change


@pytest.mark.usefixtures("kernels_by_torch")
def test_gates_that_break_their_promise_are_not_restored_wrongly(model, device):
    images, gates = torch.rand(4, 3, 8, 8, device=device), torch.tensor([[0.5, 0.5], [1, 0], [0.5, 0], [1, 1]])
    restored = restore(model, images, gates, "triton")
    assert restored.isnan().flatten(1).all(1).tolist() == [True, False, True, True]
    assert restored[1].isfinite().all()


@pytest.mark.usefixtures("kernels_by_torch")
def test_a_changed_parameter_is_seen(model, device):
    images, gates = torch.rand(1, 3, 8, 8, device=device), torch.tensor([[1.0, 0]])
    before = restore(model, images, gates, "triton")
    with torch.no_grad():
        model.restorer.net.ending.weight.mul_(2)
    after = restore(model, images, gates, "triton")
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, restore(model, images, gates, "torch"), rtol=1e-4, atol=1e-4)


def test_the_backend_is_named_and_checked(small_config, monkeypatch):
    model = LoRAIR(small_config, backend="triton")
    assert "backend='triton'" in repr(model)
    assert "backend='auto'" in repr(LoRAIR(small_config))
    with pytest.raises(ValueError, match="backend must be one of auto, triton, torch"):
        LoRAIR(small_config, backend="cuda")
    monkeypatch.setattr(restorer_module, "runs_triton", lambda x: False)
    with pytest.raises(ValueError, match="needs the triton package and an NVIDIA GPU"):
        restore(model, torch.rand(1, 3, 16, 16), torch.tensor([[1.0, 0]]), "triton")


@pytest.mark.parametrize("top_k", [1, 2])
def test_gradients_are_those_of_torch(model, device, top_k):
    images, prior = torch.rand(2, 3, 8, 6, device=device), torch.randn(2, model.config.router.prior_dim, device=device)
    gates = torch.tensor(GATES["one-hot" if top_k == 1 else "soft"][:2], device=device)
    gradients = {}
    for backend in ("torch", "triton"):
        model.restorer.backend = backend
        model.zero_grad()
        model.restorer(images, prior, gates).square().sum().backward()
        parameters = model.restorer.net.named_parameters()
        gradients[backend] = {name: p.grad.double() for name, p in parameters if p.grad is not None}
    assert gradients["triton"].keys() == gradients["torch"].keys()
    for name, expected in gradients["torch"].items():
        error = (gradients["triton"][name] - expected).norm()
        assert error <= 1e-3 * expected.norm() + 1e-6, name


@pytest.mark.usefixtures("kernels_by_torch")
def test_a_copy_starts_with_nothing_merged(model, device):
    images, gates = torch.rand(1, 3, 8, 8, device=device), torch.tensor([[1.0, 0]])
    restored = restore(model, images, gates, "triton")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        model.restorer.net.ending.weight.mul_(2)
    torch.testing.assert_close(restore(twin, images, gates, "triton"), restored)


@pytest.mark.usefixtures("kernels_by_torch")
@pytest.mark.parametrize("top_k", [1, 2])
def test_what_was_merged_for_restoring_takes_no_gradient_away(model, device, top_k):
    images, gates = torch.rand(1, 3, 8, 8, device=device), torch.tensor([[1.0, 0]], device=device)
    restore(model, images, gates, "triton")
    prior = torch.randn(1, model.config.router.prior_dim, device=device)
    model.restorer(images, prior, gates).sum().backward()
    without = {name for name, p in model.restorer.net.named_parameters() if p.grad is None}
    restore(model, images, gates, "triton")
    model.zero_grad()
    model.restorer.backend = "torch"
    model.restorer(images, prior, gates).sum().backward()
    assert without == {name for name, p in model.restorer.net.named_parameters() if p.grad is None}


@pytest.mark.usefixtures("kernels_by_torch")
def test_gates_that_are_learnt_get_their_gradient(model, device):
    images, prior = torch.rand(2, 3, 8, 8, device=device), torch.randn(2, model.config.router.prior_dim, device=device)
    gates = torch.tensor([[1.0, 0], [0, 1]], device=device, requires_grad=True)
    found = []
    for backend in ("torch", "triton"):
        model.restorer.backend = backend
        found += torch.autograd.grad(model.restorer(images, prior, gates).square().sum(), gates)
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("kernels_by_torch")
@pytest.mark.parametrize("measured", [True, False])
def test_auto_takes_the_kernels_where_they_were_measured(model, device, monkeypatch, measured):
    images, gates = torch.rand(1, 3, 8, 8, device=device), torch.tensor([[1.0, 0]])
    calls = []
    restored = fused.FusedRestorer.__call__
    monkeypatch.setattr(fused.FusedRestorer, "__call__", lambda *inputs: calls.append(1) or restored(*inputs))
    monkeypatch.setattr(restorer_module, "is_measured", lambda asked: measured and asked == images.device)
    restore(model, images, gates, "auto")
    assert len(calls) == measured
    restore(model, images, gates, "torch")
    assert len(calls) == measured
    monkeypatch.setattr(restorer_module, "runs_triton", lambda x: False)
    restore(model, images, gates, "auto")
    assert len(calls) == measured, "measured, but not able to"


@pytest.mark.usefixtures("kernels_by_torch")
def test_parameters_put_in_the_place_of_others_are_seen(model, make_model, device):
    images, gates = torch.rand(1, 3, 8, 8, device=device), torch.tensor([[1.0, 0]], device=device)
    restore(model, images, gates, "triton")
    other = make_model(seed=1, config=model.config).to(device)
    model.load_state_dict(other.state_dict(), assign=True)
    restored = restore(model, images, gates, "triton")
    torch.testing.assert_close(restored, restore(other, images, gates, "torch"), rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no NVIDIA GPU")
@pytest.mark.parametrize("top_k", [1, 2])
def test_a_cuda_graph_serves_every_routing_without_asking_the_gpu(model, device, top_k):
    images, prior = (
        torch.rand(3, 3, 16, 24, device=device),
        torch.randn(3, model.config.router.prior_dim, device=device),
    )
    routings = [torch.tensor(rows, device=device) for rows in ([[1.0, 0]] * 3, GATES["one-hot"], GATES["none"])]
    expected = [restore(model, images, gates, "torch") for gates in routings]
    model.restorer.backend = "triton"
    prior = torch.randn(3, model.config.router.prior_dim, generator=torch.Generator().manual_seed(1)).to(device)
    with torch.inference_mode():
        for gates in routings[:2]:
            model.restorer(images, prior, gates)  # compiles, then records
        torch.cuda.set_sync_debug_mode("error")
        try:
            replayed = [model.restorer(images, prior, gates) for gates in routings]
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for got, wanted in zip(replayed, expected, strict=True):
        assert (got - wanted).norm() < 1e-3 * (wanted - images).norm()
