"""Measuring as on a GPU, on a machine that may have none: forms run as they are, and each call takes 2 ms."""

import pytest
import torch
from lorair_kernels import backend
from lorair_kernels.benchmarks import measure


@pytest.fixture
def plain_torch(monkeypatch):
    monkeypatch.setattr(backend, "has_triton", lambda: False)


@pytest.fixture
def pretended_gpu(monkeypatch, plain_torch):
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * 2**20)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 2**20)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(measure, "ready", lambda form: lambda: form.call(*form.arguments))
    monkeypatch.setattr(measure, "interleaved", lambda runs: {name: [1.0, 2.0, 3.0] for name in runs})
