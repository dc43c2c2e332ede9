"""GPU kernels of lorair in Triton, each with its reference in plain torch: the oracle of its tests and the CPU path."""

from lorair_kernels.attention_weights import attention_weights
from lorair_kernels.backend import runs_triton
from lorair_kernels.depthwise_gate import depthwise_gate
from lorair_kernels.feed_forward import feed_forward
from lorair_kernels.gated_lowrank import gated_lowrank
from lorair_kernels.grouped_weight_grad import grouped_sum, grouped_weight_grad
from lorair_kernels.launch import is_measured
from lorair_kernels.local_mean import local_mean_nhwc
from lorair_kernels.nafblock import BlockWeights, naf_block
from lorair_kernels.packed_experts import PackedExperts, top_expert
from lorair_kernels.pointwise import pointwise
from lorair_kernels.reference import expert_delta, local_mean, merge_experts

__all__ = [
    "BlockWeights",
    "PackedExperts",
    "attention_weights",
    "depthwise_gate",
    "expert_delta",
    "feed_forward",
    "gated_lowrank",
    "grouped_sum",
    "grouped_weight_grad",
    "is_measured",
    "local_mean",
    "local_mean_nhwc",
    "merge_experts",
    "naf_block",
    "pointwise",
    "runs_triton",
    "top_expert",
]
