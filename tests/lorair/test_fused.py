"""The restorer by the fused kernels, in Triton's interpreter where there is no GPU, against the torch restorer."""

from dataclasses import replace

import pytest
import torch
from lorair_kernels import runs_triton

from lorair import restorer as restorer_module
from lorair.model import LoRAIR

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
def model(make_model, small_config, device):
    restorer = replace(
        small_config.restorer, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,), local_window=24
    )
    return make_model(config=replace(small_config, degradations=("noise", "rain"), restorer=restorer)).to(device)


@pytest.fixture
def device():
    return "cuda" if torch.cuda.is_available() else "cpu"


def restore(model, images, gates, backend):
    model.restorer.backend = backend
    prior = torch.randn(len(images), model.config.router.prior_dim, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model.restorer(images, prior.to(images.device), gates.to(images.device))


@pytest.mark.parametrize(
    ("gates", "size"), [("one-hot", (17, 23)), ("soft", (17, 23)), ("none", (9, 4)), ("one-hot", (35, 15))]
)
def test_a_mixed_batch_is_what_torch_makes_of_it(model, gates, size, device):
    images = torch.rand(3, 3, *size, device=device)
    gates = torch.tensor(GATES[gates])
    expected = restore(model, images, gates, "torch")
    fused = restore(model, images, gates, "triton")
    change = (expected - images).norm()
    assert fused.shape == expected.shape
    assert (fused - expected).norm() < 1e-4 * change


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


def test_with_gradients_it_is_torch(model, device):
    model.restorer.backend = "triton"
    prior = torch.randn(1, model.config.router.prior_dim, device=device)
    gates = torch.tensor([[1.0, 0]], device=device)
    model.restorer(torch.rand(1, 3, 16, 16, device=device), prior, gates).sum().backward()
    assert model.restorer.net.intro.a.grad is not None
