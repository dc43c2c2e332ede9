"""The published checkpoints: a restorer file and a router file, each `{"params": state_dict}`.

The router file carries CLIP's weights under Hugging Face names, which are renamed to open_clip's here, so that
nothing is downloaded. Every size is read from the shapes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from lorair.checkpoints.checkpoint import Checkpoint
from lorair.checkpoints.files import plain_from_torch
from lorair.checkpoints.published_names import State, indices_in, restorer_state, router_state
from lorair.errors import CheckpointError
from lorair.model import LoRAIR, ModelConfig, RestorerConfig, RouterConfig, TowerConfig

HEAD_WIDTH = 64
SETTING_1 = ("snow", "rain", "raindrop")


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
        restorer: the restorer's file, such as `setting1_ir.pth`.
        router: the router's file, such as `setting1_router.pth`.
        degradations: one name per class of the router; None takes snow, rain, raindrop for three classes.
        top_k: experts an image may use, which the files do not state; published: 1.
        local_window: see `RestorerConfig`; None to reproduce published figures.
        quick_gelu: the tower's activation, which the files do not state; True for OpenAI's CLIP.

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
    """The tensors of a `{"params": state_dict}` file, float32; code in the file is not run.

    Raises:
        CheckpointError: the file is missing, damaged, of another form, or holds more than tensors and plain data.
    """
    params = plain_from_torch(Path(path)).get("params")
    if not isinstance(params, Mapping):
        raise CheckpointError(f"{path}: not a published checkpoint, a dict with the key 'params'")
    tensors = cast("Mapping[str, object]", params)
    return {name: tensor.float() for name, tensor in tensors.items() if isinstance(tensor, Tensor)}


def _tower_config(state: State, quick_gelu: bool) -> TowerConfig:
    tower = {name.removeprefix("router.tower."): tensor for name, tensor in state.items()}
    width, _, patch, _ = tower["conv1.weight"].shape
    tokens = tower["positional_embedding"].shape[0] - 1
    return TowerConfig(
        image_size=patch * round(tokens**0.5),
        patch_size=patch,
        width=width,
        layers=len(indices_in(tower, r"transformer\.resblocks\.(\d+)\.")),
        head_width=min(HEAD_WIDTH, width),
        embed_dim=tower["proj"].shape[1],
        mlp_ratio=tower["transformer.resblocks.0.mlp.c_fc.weight"].shape[0] / width,
        quick_gelu=quick_gelu,
    )


def _restorer_config(state: State, local_window: int | None) -> RestorerConfig:
    net = {name.removeprefix("restorer.net."): tensor for name, tensor in state.items()}

    def blocks(stage: str) -> tuple[int, ...]:
        stages = indices_in(net, rf"{stage}\.(\d+)\.")
        return tuple(len(indices_in(net, rf"{stage}\.{i}\.blocks\.(\d+)\.")) for i in stages)

    return RestorerConfig(
        width=net["intro.weight"].shape[0],
        encoder_blocks=blocks("encoders"),
        middle_blocks=len(indices_in(net, r"middle\.blocks\.(\d+)\.")),
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
