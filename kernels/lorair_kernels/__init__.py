"""GPU mathematics of lorair: Triton kernels, and beside each the operation in plain torch: oracle and CPU path."""

from lorair_kernels.merge import PackedExperts, top_expert
from lorair_kernels.reference import expert_delta, local_mean, merge_experts

__all__ = [
    "PackedExperts",
    "expert_delta",
    "local_mean",
    "merge_experts",
    "top_expert",
]
