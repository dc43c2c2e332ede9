"""Eight bits: calibration, quantised graphs, and bundles made of them."""

from lorair_export.quantization.bundle_precision import bundle_in_8_bits, in_precision
from lorair_export.quantization.calibration import Calibration
from lorair_export.quantization.quantize import KEPT

__all__ = ["KEPT", "Calibration", "bundle_in_8_bits", "in_precision"]
