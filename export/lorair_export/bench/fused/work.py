"""The least work of the whole restorer, one entry per launch of the fused plan."""

from lorair_kernels.benchmarks import Work, attention_work, convolution_work, depthwise_work, feed_forward_work

from lorair.model import RestorerConfig

FEED_FORWARD_CHANNELS = 256  # up to here the feed-forward half of a block is one launch


def restorer_work(config: RestorerConfig, size: int, batch: int, sets: int, itemsize: int = 2) -> tuple[Work, ...]:
    """A batch of `size` x `size` images with the mean over the whole map, one entry a launch of the fused plan.

    The vector part (prior head, modulation's convolutions) is left out: less than 0.01 % of either.
    """
    levels = len(config.encoder_blocks)

    def stage(level: int, blocks: int, modulated: bool) -> list[Work]:
        c, tokens = config.width * 2**level, batch * (size // 2**level) ** 2
        if c <= FEED_FORWARD_CHANNELS:
            feed_forward = [feed_forward_work(tokens, c, itemsize, sets)]
        else:
            feed_forward = [
                convolution_work(tokens, c, 2 * c, itemsize, sets=sets, gated=True),
                convolution_work(tokens, c, c, itemsize, sets=sets, added=True),
            ]
        block = [
            convolution_work(tokens, c, 2 * c, itemsize, sets=sets),
            depthwise_work(tokens, c, itemsize),
            attention_work(batch, c, itemsize, sets),
            convolution_work(tokens, c, c, itemsize, sets=batch, added=True),
            *feed_forward,
        ]
        modulation = [Work(itemsize * 2 * tokens * c, 0)] if modulated else []
        return modulation + blocks * block

    work = [convolution_work(batch * size**2, 3, config.width, itemsize, taps=9, sets=sets)]
    for level, blocks in enumerate(config.encoder_blocks):
        c, tokens = config.width * 2**level, batch * (size // 2 ** (level + 1)) ** 2
        work += stage(level, blocks, True)
        work += [convolution_work(tokens, 4 * c, 2 * c, itemsize, sets=sets)]
    work += stage(levels, config.middle_blocks, True)
    for i, blocks in enumerate(config.decoder_blocks):
        level = levels - 1 - i
        c, tokens = config.width * 2 ** (level + 1), batch * (size // 2 ** (level + 1)) ** 2
        work += [convolution_work(tokens, c, 2 * c, itemsize, sets=sets, added=True)]
        work += stage(level, blocks, config.decoder_modulation)
    ending = convolution_work(batch * size**2, config.width, 3, itemsize, taps=9, sets=sets, added=True)
    return (*work, ending)
