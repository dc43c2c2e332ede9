"""Names of the published tensors -> ours; the tower's, which are Hugging Face's, -> open_clip's."""

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

State: TypeAlias = Mapping[str, Tensor]


def restorer_state(params: State) -> dict[str, Tensor]:
    """The restorer's tensors under our names."""
    return {f"restorer.net.{restorer_name(name)}": tensor for name, tensor in params.items()}


def restorer_name(name: str) -> str:
    """Our name of a published tensor: `encoders.0.conv1.lora_A_list` -> `encoders.0.modulation.conv1.a`."""
    name = name.replace(".conv.", ".").replace("lora_A_list", "a").replace("lora_B_list", "b")
    name = (
        name.replace("intro_de.", "prior_head.").replace("middle_blks.", "middle.").replace("sca.1.", "attention.conv.")
    )
    name = re.sub(r"^(ups\.\d+)\.0\.", r"\1.", name)
    return re.sub(r"^(encoders\.\d+|middle)\.(?!blocks\.)", r"\1.modulation.", name)


def router_state(params: State) -> dict[str, Tensor]:
    """The router's tensors under our names, the tower's under open_clip's."""
    vision = "clip_model.vision_tower."
    tower = {name.removeprefix(vision): tensor for name, tensor in params.items() if name.startswith(vision)}
    state = {f"router.tower.{name}": tensor for name, tensor in open_clip_state(tower).items()}
    for name, tensor in params.items():
        if not name.startswith(vision):
            state[f"router.{name.replace('de_extractor', 'extractor').replace('cls_head', 'head')}"] = tensor
    return state


def open_clip_state(hugging_face: State) -> dict[str, Tensor]:
    """A CLIP vision model with projection, Hugging Face names -> open_clip's (q, k, v joined, projection turned)."""
    state: dict[str, Tensor] = {}
    for name, tensor in hugging_face.items():
        name = name.removeprefix("vision_model.")
        if name == "visual_projection.weight":
            state["proj"] = tensor.T.contiguous()
        elif "position_ids" not in name and "self_attn" not in name:
            state[_open_clip_name(name)] = tensor
    for layer in indices_in(hugging_face, r"vision_model\.encoder\.layers\.(\d+)\."):
        ours = f"transformer.resblocks.{layer}.attn"
        theirs = f"vision_model.encoder.layers.{layer}.self_attn"
        for kind in ("weight", "bias"):
            joined = [hugging_face[f"{theirs}.{part}_proj.{kind}"] for part in "qkv"]
            state[f"{ours}.in_proj_{kind}"] = torch.cat(joined)
            state[f"{ours}.out_proj.{kind}"] = hugging_face[f"{theirs}.out_proj.{kind}"]
    return state


def _open_clip_name(name: str) -> str:
    name = re.sub(r"^encoder\.layers\.(\d+)\.", r"transformer.resblocks.\1.", name)
    for theirs, ours in (
        ("embeddings.class_embedding", "class_embedding"),
        ("embeddings.patch_embedding.weight", "conv1.weight"),
        ("embeddings.position_embedding.weight", "positional_embedding"),
        ("pre_layrnorm", "ln_pre"),
        ("post_layernorm", "ln_post"),
        ("layer_norm", "ln_"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    ):
        name = name.replace(theirs, ours)
    return name


def indices_in(names: Iterable[str], pattern: str) -> list[int]:
    return sorted({int(found[1]) for name in names if (found := re.match(pattern, name))})
