"""Every operation in plain torch: any floating dtype, any device, differentiable. The oracle and the CPU path."""

from lorair_kernels.reference.attention_weights import attention_weights
from lorair_kernels.reference.depthwise_gate import depthwise_gate, depthwise_gate_backward
from lorair_kernels.reference.experts import (
    expert_delta,
    factor_shapes,
    merge_experts,
    merge_packed,
    merge_packed_backward,
)
from lorair_kernels.reference.feed_forward import feed_forward
from lorair_kernels.reference.gated_lowrank import gated_lowrank
from lorair_kernels.reference.grouped_weight_grad import grouped_sum, grouped_weight_grad
from lorair_kernels.reference.local_mean import local_mean
from lorair_kernels.reference.pointwise import EPS, from_squares, pointwise, to_squares

__all__ = [
    "EPS",
    "attention_weights",
    "depthwise_gate",
    "depthwise_gate_backward",
    "expert_delta",
    "factor_shapes",
    "feed_forward",
    "from_squares",
    "gated_lowrank",
    "grouped_sum",
    "grouped_weight_grad",
    "local_mean",
    "merge_experts",
    "merge_packed",
    "merge_packed_backward",
    "pointwise",
    "to_squares",
]
