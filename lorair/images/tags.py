"""Names of the TIFF tags and values (TIFF 6.0) that reading and writing share."""

from typing import Final

from PIL.TiffTags import TAGS_V2

TIFF_TAG: Final = {entry.name: tag for tag, entry in TAGS_V2.items()}
MIN_IS_BLACK: Final = 1
RGB: Final = 2
STRAIGHT_ALPHA: Final = 2
PLANAR: Final = 2
UNSIGNED: Final = (1, 4)  # 4: undefined, which is read as unsigned
PREVIEW_OR_MASK: Final = 0b101
