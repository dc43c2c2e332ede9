"""CLIP's vision transformer (arXiv 2103.00020), with open_clip's parameter names, for inference and training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorair.model.config import TowerConfig


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x), the activation of OpenAI's CLIP."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Attention(nn.Module):
    """Multi-head self-attention, its parameters as in `nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, queries: int | None = None) -> Tensor:
        """Attend from the first `queries` tokens, by default all: [N, T, C] -> [N, queries, C]."""
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q[:, :queries], k, v))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A transformer block, normalised before attention and before the feed-forward network."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        width, hidden = config.width, int(config.width * config.mlp_ratio)
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, config.heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, hidden))
        self.mlp.add_module("gelu", QuickGELU() if config.quick_gelu else nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(hidden, width))

    def forward(self, x: Tensor, queries: int | None = None) -> Tensor:
        """[N, T, C] -> the first `queries` tokens, by default all, [N, queries, C]."""
        x = x[:, :queries] + self.attn(self.ln_1(x), queries)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """All blocks; the last one computes only the first token, since an embedding depends on no other."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, C] -> the first token, [N, C]."""
        *blocks, last = self.resblocks
        for block in blocks:
            x = block(x)
        return last(x, queries=1)[:, 0]


class Tower(nn.Module):
    """Normalised pixels [N, 3, S, S] -> embeddings [N, embed_dim] of the class token, randomly initialised.

    Not open_clip's own class, whose import takes longer than restoring a photograph.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        width, scale = config.width, config.width**-0.5
        tokens = (config.image_size // config.patch_size) ** 2 + 1
        self.conv1 = nn.Conv2d(3, width, config.patch_size, config.patch_size, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(config)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, config.embed_dim))

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        # Not len(patches), which a traced graph would keep as a constant.
        token = self.class_embedding.to(patches.dtype).expand(patches.shape[0], 1, -1)
        x = self.ln_pre(torch.cat([token, patches], dim=1) + self.positional_embedding.to(patches.dtype))
        return self.ln_post(self.transformer(x)) @ self.proj
