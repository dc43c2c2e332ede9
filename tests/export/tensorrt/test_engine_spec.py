"""What a TensorRT cannot build is rejected before an export, with the reason."""

from dataclasses import replace
from pathlib import Path

import pytest
from lorair_export.bundle import Profile
from lorair_export.errors import BuildError
from lorair_export.tensorrt import EngineOptions, EngineSpec, Flavour, check_spec

PROFILE = Profile((1, 3, 32, 32), (1, 3, 64, 64), (2, 3, 96, 128))


@pytest.mark.parametrize(
    ("options", "precision", "error", "words"),
    [
        (EngineOptions("same-cc"), "fp32", BuildError, "--hw-compat same-cc: TensorRT 10.3.0"),
        (EngineOptions("ampere+"), "fp8", BuildError, "8.0 does not compute in fp8"),
        (EngineOptions(timing_cache=Path("gone/timings")), "fp32", ValueError, "--timing-cache gone/timings"),
    ],
)
def test_classic_rejects_with_the_reason(options, precision, error, words, classic) -> None:
    with pytest.raises(error, match=words):
        check_spec(Flavour(classic("10.3.0")), EngineSpec((PROFILE,), precision=precision, options=options))


def test_rtx_refits_on_a_gpu_for_one_target(rtx, monkeypatch) -> None:
    spec = EngineSpec((PROFILE,), options=EngineOptions(refit=True))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(BuildError, match=r"--refit: .*not for 8\.6, 8\.9, 12\.0"):
        check_spec(rtx, spec)
    check_spec(rtx, replace(spec, compute_capabilities=("8.6",)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compute_capabilities": ("9.0",)}, ["9.0", "8.6", "8.9", "12.0", "--backend tensorrt"]),
        ({"opt_level": 5}, ["--opt-level", "leave the option out"]),
        ({"options": EngineOptions("ampere+")}, ["--hw-compat ampere+", "--compute-capability"]),
        ({"options": EngineOptions(timing_cache=Path("timings"))}, ["--timing-cache", "leave the option out"]),
        ({"options": EngineOptions(refit=True)}, ["--refit", "NVIDIA GPU"]),
        ({"options": EngineOptions(strip_weights=True)}, ["--strip-weights", "NVIDIA GPU"]),
    ],
)
def test_rtx_rejects_with_the_reason(rtx, monkeypatch, options, words) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BuildError) as rejected:
        check_spec(rtx, EngineSpec((PROFILE,), **options))
    assert rejected.value.exit_code == 5
    assert [word for word in words if word not in str(rejected.value)] == []


def test_classic_rejects_compute_capabilities(classic) -> None:
    with pytest.raises(BuildError, match=r"this machine only.*--backend rtx"):
        check_spec(Flavour(classic("11.4.0.106")), EngineSpec((PROFILE,), ("8.6",)))


def test_opt_level_out_of_range(classic) -> None:
    with pytest.raises(ValueError, match=r"0\.\.5; got 6"):
        check_spec(Flavour(classic("11.4.0.106")), EngineSpec((PROFILE,), opt_level=6))


def test_profile_out_of_order(rtx) -> None:
    upside_down = Profile(PROFILE.max, PROFILE.opt, PROFILE.min)
    with pytest.raises(ValueError, match="min <= opt <= max"):
        check_spec(rtx, EngineSpec((upside_down,)))
