"""The model: the router that classifies the degradation, the restorer whose experts it gates, and their
configuration."""

from lorair.model.blocks import ChannelAttention, LayerNorm2d, Modulation, spread_edges
from lorair.model.config import (
    PRESETS,
    ModelConfig,
    RestorerConfig,
    RouterConfig,
    TowerConfig,
    config_from_dict,
    config_to_dict,
)
from lorair.model.experts import ExpertConv2d, gates_from_logits
from lorair.model.fused import FusedRestorer
from lorair.model.lorair import LoRAIR
from lorair.model.restorer import Restorer
from lorair.model.router import Router, Routing, pinned_routing, router_views
from lorair.model.unet import RestorationNet

__all__ = [
    "PRESETS",
    "ChannelAttention",
    "ExpertConv2d",
    "FusedRestorer",
    "LayerNorm2d",
    "LoRAIR",
    "ModelConfig",
    "Modulation",
    "RestorationNet",
    "Restorer",
    "RestorerConfig",
    "Router",
    "RouterConfig",
    "Routing",
    "TowerConfig",
    "config_from_dict",
    "config_to_dict",
    "gates_from_logits",
    "pinned_routing",
    "router_views",
    "spread_edges",
]
