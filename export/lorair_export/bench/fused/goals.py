"""Goals of the fused restorer, medians on an H200; other GPUs are compared with the same figures."""

from lorair_kernels.benchmarks import Goal, figure, ratio, worst_ratio

FUSED, PLAIN, SOFT, EAGER, PUBLISHED = (
    "fused, mixed experts",
    "fused, plain network",
    "fused, soft gates",
    "eager channels_last",
    "published, float32",
)
ONE = {size: f"1x3x{size}x{size}" for size in (256, 512, 1024)}
MIXED = "8x3x256x256"
STEP = "fine-tuning step"

GOALS = (
    Goal("mixed experts over the plain network, time, worst shape", worst_ratio("restorer", FUSED, PLAIN), high=1.02),
    Goal("soft gates over the plain network, time, 512", ratio("restorer", ONE[512], SOFT, PLAIN), high=1.10),
    Goal(
        "merge of all convolutions for an image, ms",
        figure("merge", "triton", "248 convolutions", "p50_ms"),
        high=0.095,
    ),
    Goal(
        "merge of all convolutions, of the roofline",
        figure("merge", "triton", "248 convolutions", "fraction_of_roofline"),
        low=0.65,
    ),
    Goal("restorer, an image of 256 pixels, float16, ms", figure("restorer", FUSED, ONE[256], "p50_ms"), high=0.60),
    Goal("restorer, an image of 512 pixels, float16, ms", figure("restorer", FUSED, ONE[512], "p50_ms"), high=2.0),
    Goal("restorer, an image of 1024 pixels, float16, ms", figure("restorer", FUSED, ONE[1024], "p50_ms"), high=6.8),
    Goal(
        "torch.compile max-autotune's time over the restorer's, 512",
        ratio("restorer", ONE[512], "torch.compile", FUSED),
        low=1.3,
    ),
    Goal("eager channels_last's time over the restorer's, 512", ratio("restorer", ONE[512], EAGER, FUSED), low=2),
    Goal("published form's time over the restorer's, 512", ratio("restorer", ONE[512], PUBLISHED, FUSED), low=5),
    Goal(
        "published form's time over the restorer's, 8 x 256, mixed", ratio("restorer", MIXED, PUBLISHED, FUSED), low=10
    ),
    Goal(
        "published form's time over a step of fine-tuning, 8 x 256",
        ratio(STEP, MIXED, "published", "fused, bfloat16"),
        low=3,
    ),
    Goal(
        "published form's memory over that of a step, 8 x 256",
        ratio(STEP, MIXED, "published", "fused, bfloat16", "peak_mib"),
        low=2,
    ),
)
