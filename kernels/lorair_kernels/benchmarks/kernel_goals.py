"""Goals of the kernels, medians on an H200; other GPUs are compared with the same figures."""

from lorair_kernels.benchmarks.goals import Goal, figure, ratio

GOALS = (
    Goal(
        "merge of all blocks, of the roofline",
        figure("merge", "triton", "216 convolutions", "fraction_of_roofline"),
        low=0.65,
    ),
    Goal(
        "depthwise_gate of 64 channels at 512 pixels, of the roofline",
        figure("depthwise_gate", "triton", "1x512x512x128", "fraction_of_roofline"),
        low=0.70,
    ),
    Goal(
        "feed_forward of 64 channels at 512 pixels, of the roofline",
        figure("feed_forward", "triton", "1x512x512x64", "fraction_of_roofline"),
        low=0.55,
    ),
    Goal(
        "pointwise of 512 channels, 16,384 tokens, cuBLAS' time over its own",
        ratio("pointwise", "1x128x128x512", "cuBLAS", "triton"),
        low=0.75,
    ),
    Goal(
        "pointwise of 512 channels, 16,384 tokens, TFLOP/s",
        figure("pointwise", "triton", "1x128x128x512", "tflops"),
        low=450,
    ),
)
