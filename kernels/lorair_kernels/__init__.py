"""GPU mathematics of lorair: each operation in plain torch, the oracle and the CPU path."""

from lorair_kernels.reference import expert_delta, local_mean, merge_experts

__all__ = ["expert_delta", "local_mean", "merge_experts"]
