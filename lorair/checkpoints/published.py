"""The published checkpoints: a restorer file and a router file, each ``{"params": state_dict}``.

The router file carries CLIP's weights under Hugging Face names, which are renamed to open_clip's here, so that
nothing is downloaded. Every size is read from the shapes.
"""

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from lorair.checkpoints.checkpoint import Checkpoint
from lorair.errors import CheckpointError
from lorair.model import LoRAIR, ModelConfig, RestorerConfig, RouterConfig, TowerConfig

HEAD_WIDTH = 64
SETTING_1 = ("snow", "rain", "raindrop")

State = Mapping[str, Tensor]


def convert(
    restorer: str | Path,
    router: str | Path,
    degradations: tuple[str, ...] | None = None,
    top_k: int = 1,
    local_window: int | None = 384,
    quick_gelu: bool = True,
) -> Checkpoint:
    """A published pair as a checkpoint.

    Args:
        restorer: the restorer's file, such as ``setting1_ir.pth``.
        router: the router's file, such as ``setting1_router.pth``.
        degradations: one name per class of the router; None takes snow, rain, raindrop for three classes.
        top_k: experts an image may use, which the files do not say; published: 1.
        local_window: see :class:`RestorerConfig`; None to reproduce published figures.
        quick_gelu: the tower's activation, which the files do not say; True for OpenAI's CLIP.

    Raises:
        CheckpointError: a file cannot be read, or its tensors are not those of LoRA-IR.
    """
    ours = router_state(read_params(router)) | restorer_state(read_params(restorer))
    try:
        experts = ours["router.head.weight"].shape[0]
        config = ModelConfig(
            degradations=degradations or (SETTING_1 if experts == 3 else tuple(f"class{i}" for i in range(experts))),
            router=RouterConfig(tower=_tower_config(ours, quick_gelu), top_k=top_k),
            restorer=_restorer_config(ours, local_window),
        )
    except KeyError as error:
        raise CheckpointError(f"{restorer}, {router}: not a published pair, {error} is missing") from error
    if len(config.degradations) != experts:
        raise ValueError(f"the router has {experts} classes; got {len(config.degradations)} degradation names")
    _check_fit(config, ours, f"{restorer}, {router}")
    return Checkpoint(config=config, state=ours, training={"source": "published checkpoint"})


def read_params(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``{"params": state_dict}`` file, float32, without running any code it may hold."""
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.float() for name, tensor in data["params"].items()}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: refused, it holds more than tensors and plain data (no code is run)") from error
    except (KeyError, TypeError, AttributeError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a published checkpoint, a dict with the key 'params'") from error


def restorer_state(params: State) -> dict[str, Tensor]:
    """The restorer's tensors under our names."""
    return {f"restorer.net.{restorer_name(name)}": tensor for name, tensor in params.items()}


def restorer_name(name: str) -> str:
    """Our name of a published tensor: ``encoders.0.conv1.lora_A_list`` -> ``encoders.0.modulation.conv1.a``."""
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
    for layer in _indices(hugging_face, r"vision_model\.encoder\.layers\.(\d+)\."):
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


def _indices(names: Iterable[str], pattern: str) -> list[int]:
    return sorted({int(found[1]) for name in names if (found := re.match(pattern, name))})


def _tower_config(state: State, quick_gelu: bool) -> TowerConfig:
    tower = {name.removeprefix("router.tower."): tensor for name, tensor in state.items()}
    width, _, patch, _ = tower["conv1.weight"].shape
    tokens = tower["positional_embedding"].shape[0] - 1
    return TowerConfig(
        image_size=patch * round(tokens**0.5),
        patch_size=patch,
        width=width,
        layers=len(_indices(tower, r"transformer\.resblocks\.(\d+)\.")),
        head_width=min(HEAD_WIDTH, width),
        embed_dim=tower["proj"].shape[1],
        mlp_ratio=tower["transformer.resblocks.0.mlp.c_fc.weight"].shape[0] / width,
        quick_gelu=quick_gelu,
    )


def _restorer_config(state: State, local_window: int | None) -> RestorerConfig:
    net = {name.removeprefix("restorer.net."): tensor for name, tensor in state.items()}

    def blocks(stage: str) -> tuple[int, ...]:
        stages = _indices(net, rf"{stage}\.(\d+)\.")
        return tuple(len(_indices(net, rf"{stage}\.{i}\.blocks\.(\d+)\.")) for i in stages)

    return RestorerConfig(
        width=net["intro.weight"].shape[0],
        encoder_blocks=blocks("encoders"),
        middle_blocks=len(_indices(net, r"middle\.blocks\.(\d+)\.")),
        decoder_blocks=blocks("decoders"),
        rank=net["prior_head.0.a"].shape[1],
        modulation_width=net["encoders.0.modulation.conv1.weight"].shape[0],
        local_window=local_window,
    )


def _check_fit(config: ModelConfig, state: State, where: str) -> None:
    with torch.device("meta"):
        expected = LoRAIR(config).state_dict()
    missing, foreign = sorted(expected.keys() - state), sorted(state.keys() - expected)
    shapes = sorted(name for name in expected.keys() & state if expected[name].shape != state[name].shape)
    for what, names in (("misses", missing), ("has unknown", foreign), ("has other shapes for", shapes)):
        if names:
            raise CheckpointError(f"{where}: not a published pair, it {what} {len(names)} tensors, such as {names[0]}")
