"""The U-Net: NAFNet-shaped, steered by the degradation prior, its convolutions carrying experts."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorair.model.blocks import Conv, Modulation, NAFBlock, Stage
from lorair.model.config import RestorerConfig
from lorair.model.experts import ExpertConv2d


class RestorationNet(nn.Module):
    """The plain U-Net: images [B, 3, H, W] and prior [B, P] -> restored [B, 3, H, W], with the weights it holds."""

    def __init__(self, config: RestorerConfig, prior_dim: int, experts: int) -> None:
        super().__init__()
        conv: Conv = partial(ExpertConv2d, experts=experts, rank=config.rank, scale=config.scale)
        levels = len(config.encoder_blocks)
        channels = [config.width * 2**level for level in range(levels + 1)]

        def stage(level: int, blocks: int, modulated: bool) -> Stage:
            window = None if config.local_window is None else max(1, config.local_window // 2**level)
            c = channels[level]
            modulation = Modulation(conv, prior_dim, config.modulation_width, c) if modulated else None
            return Stage([NAFBlock(conv, c, window) for _ in range(blocks)], modulation)

        self.size_multiple = config.size_multiple
        self.intro = conv(3, config.width, 3, padding=1)
        self.prior_head = nn.Sequential(
            conv(prior_dim, prior_dim, 1), nn.GELU(), conv(prior_dim, prior_dim, 1), nn.GELU()
        )
        self.encoders = nn.ModuleList(stage(i, n, True) for i, n in enumerate(config.encoder_blocks))
        self.downs = nn.ModuleList(conv(c, 2 * c, 2, stride=2) for c in channels[:-1])
        self.middle = stage(levels, config.middle_blocks, True)
        self.ups = nn.ModuleList(conv(c, 2 * c, 1, bias=False) for c in channels[:0:-1])
        self.decoders = nn.ModuleList(
            stage(levels - 1 - i, n, config.decoder_modulation) for i, n in enumerate(config.decoder_blocks)
        )
        self.ending = conv(config.width, 3, 3, padding=1)

    def forward(self, images: Tensor, prior: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        m = self.size_multiple
        padded = F.pad(images, (0, (width + m - 1) // m * m - width, 0, (height + m - 1) // m * m - height))
        prior = self.prior_head(prior[:, :, None, None])
        x = self.intro(padded.contiguous(memory_format=torch.channels_last))
        skips: list[Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x, prior)
            skips.append(x)
            x = down(x)
        x = self.middle(x, prior)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = self.upscaled(up, x, skips.pop())
            x = decoder(x, prior)
        return (self.ending(x) + padded)[..., :height, :width]

    def upscaled(self, up: nn.Module, x: Tensor, skip: Tensor) -> Tensor:
        """[B, C, H, W] and its skip connection [B, C/2, 2H, 2W] -> the latter's shape."""
        return F.pixel_shuffle(up(x), 2) + skip
