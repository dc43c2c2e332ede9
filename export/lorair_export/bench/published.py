"""The published form of the restorer, to measure against: float32, NCHW, experts as the official code runs them.

At batch 1 every convolution is copied and its experts merged at each call, with a host comparison per expert; at
a larger batch E+1 full convolutions run. Written on the published tensor names, apart from lorair's own modules.
"""

from collections.abc import Mapping
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorair.checkpoints import restorer_name
from lorair.model import RestorationNet, RestorerConfig


def published_params(net: RestorationNet, keep_vars: bool = False) -> dict[str, Tensor]:
    """The tensors of one of our U-Nets under the published names; with `keep_vars` the parameters themselves."""
    ours = net.state_dict(keep_vars=keep_vars)
    published = {restorer_name(name): name for name in _published_names(ours)}
    return {published[name]: tensor for name, tensor in ours.items()}


def _published_names(ours: Mapping[str, Tensor]) -> list[str]:
    names: list[str] = []
    convs = {name.rpartition(".")[0] for name in ours if name.endswith(".a")}
    for name in ours:
        owner, _, kind = name.rpartition(".")
        if owner in convs:
            kind = {"a": "lora_A_list", "b": "lora_B_list"}.get(kind, f"conv.{kind}")
            owner = f"{owner}.0" if owner.startswith("ups.") else owner
        theirs = f"{owner}.{kind}".replace("attention.conv", "sca.1").replace("prior_head.", "intro_de.")
        names.append(theirs.replace(".modulation.", ".").replace("middle.", "middle_blks."))
    return names


def pooled(x: Tensor, window: int | None) -> Tensor:
    """Mean of the map [B, C, H, W] over a window, as large as the map again; its global mean [B, C, 1, 1] where the
    window covers it. By sums from the corner, as published with TLSC (arXiv 2112.04491)."""
    height, width = x.shape[-2:]
    if window is None or (window >= height and window >= width):
        return F.adaptive_avg_pool2d(x, 1)
    h, w = min(window, height), min(window, width)
    sums = F.pad(x.cumsum(-1).cumsum(-2), (1, 0, 1, 0))
    means = (sums[..., h:, w:] - sums[..., :-h, w:] - sums[..., h:, :-w] + sums[..., :-h, :-w]) / (h * w)
    extra_h, extra_w = height - means.shape[-2], width - means.shape[-1]
    edges = (extra_w // 2, extra_w - extra_w // 2, extra_h // 2, extra_h - extra_h // 2)
    return F.pad(means, edges, mode="replicate")


class PublishedConv(nn.Module):
    """A convolution with experts as the official code runs it."""

    def __init__(self, params: Mapping[str, Tensor], name: str, scale: float, top_k: int) -> None:
        super().__init__()
        weight, bias = params[f"{name}.conv.weight"], params.get(f"{name}.conv.bias")
        out_channels, in_channels, k, _ = weight.shape
        stride, padding = (2, 0) if name.startswith("downs.") else (1, k // 2)
        groups = out_channels if in_channels == 1 and k == 3 else 1
        self.conv = nn.Conv2d(
            in_channels * groups, out_channels, k, stride, padding, groups=groups, bias=bias is not None
        )
        self.conv.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
        self.a, self.b = params[f"{name}.lora_A_list"], params[f"{name}.lora_B_list"]
        self.scale, self.top_k = scale, top_k

    def delta(self, expert: int) -> Tensor:
        return (self.b[expert] @ self.a[expert]).view(self.conv.weight.shape) * self.scale

    def forward(self, x: Tensor, gate_logits: Tensor) -> Tensor:
        kept = torch.zeros_like(gate_logits).scatter_(-1, gate_logits.topk(self.top_k, -1).indices, 1.0)
        gates = torch.where(kept > 0, gate_logits, float("-inf")).softmax(-1)
        if len(x) == 1:
            conv = deepcopy(self.conv)
            for expert in range(gates.shape[1]):
                if gates[0, expert] > 1e-8:
                    conv.weight.data += gates[0, expert] * self.delta(expert)
            return conv(x)
        y = self.conv(x)
        for expert in range(gates.shape[1]):
            delta = F.conv2d(x, self.delta(expert), None, self.conv.stride, self.conv.padding, groups=self.conv.groups)
            y = y + gates[:, expert].view(-1, 1, 1, 1) * delta
        return y


class PublishedRestorer(nn.Module):
    """images [B, 3, H, W], prior [B, P], gate_logits [B, E] -> restored [B, 3, H, W]."""

    def __init__(self, params: Mapping[str, Tensor], config: RestorerConfig, top_k: int) -> None:
        super().__init__()
        self.params, self.config = params, config
        self.convs = nn.ModuleDict()
        for name in (name.removesuffix(".lora_A_list") for name in params if name.endswith(".lora_A_list")):
            self.convs[name.replace(".", "/")] = PublishedConv(params, name, config.scale, top_k)

    def forward(self, images: Tensor, prior: Tensor, gate_logits: Tensor) -> Tensor:
        def conv(name: str, x: Tensor) -> Tensor:
            return self.convs[name.replace(".", "/")](x, gate_logits)

        def norm(name: str, x: Tensor) -> Tensor:
            centred = x - x.mean(1, keepdim=True)
            scaled = centred / (centred.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
            return self.params[f"{name}.weight"].view(1, -1, 1, 1) * scaled + self.params[f"{name}.bias"].view(
                1, -1, 1, 1
            )

        def gate(x: Tensor) -> Tensor:
            u, v = x.chunk(2, 1)
            return u * v

        def block(name: str, x: Tensor) -> Tensor:
            y = gate(conv(f"{name}.conv2", conv(f"{name}.conv1", norm(f"{name}.norm1", x))))
            window = self.config.local_window
            level = (padded.shape[-1] // x.shape[-1]).bit_length() - 1
            y = y * conv(f"{name}.sca.1", pooled(y, None if window is None else max(1, window // 2**level)))
            x = x + conv(f"{name}.conv3", y) * self.params[f"{name}.beta"]
            y = gate(conv(f"{name}.conv4", norm(f"{name}.norm2", x)))
            return x + conv(f"{name}.conv5", y) * self.params[f"{name}.gamma"]

        def modulated(name: str, x: Tensor, blocks: int) -> Tensor:
            s = conv(f"{name}.conv2", F.gelu(conv(f"{name}.conv1", e)))
            s = torch.sigmoid(conv(f"{name}.conv4", F.relu(conv(f"{name}.conv3", s))))
            x = x + self.params[f"{name}.beta"] * (norm(f"{name}.norm", x) * s)
            for i in range(blocks):
                x = block(f"{name}.blocks.{i}", x)
            return x

        height, width = images.shape[-2:]
        m = self.config.size_multiple
        padded = F.pad(images, (0, (m - width % m) % m, 0, (m - height % m) % m))
        e = F.gelu(conv("intro_de.2", F.gelu(conv("intro_de.0", prior[..., None, None]))))
        x = conv("intro", padded)
        skips = []
        for i, blocks in enumerate(self.config.encoder_blocks):
            skips.append(modulated(f"encoders.{i}", x, blocks))
            x = conv(f"downs.{i}", skips[-1])
        x = modulated("middle_blks", x, self.config.middle_blocks)
        for i, blocks in enumerate(self.config.decoder_blocks):
            x = F.pixel_shuffle(conv(f"ups.{i}.0", x), 2) + skips.pop()
            for j in range(blocks):
                x = block(f"decoders.{i}.blocks.{j}", x)
        return (conv("ending", x) + padded)[:, :, :height, :width]
