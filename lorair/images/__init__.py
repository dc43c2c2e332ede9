"""Image files <-> arrays: one reader, one writer, one listing, tiles."""

from lorair.images.files import (
    FORMATS_16BIT,
    Picture,
    decode_image,
    encode_image,
    picture_from_samples,
    read_image,
    samples_from_picture,
    write_image,
)
from lorair.images.listing import FORMATS, WRITABLE, format_of, list_images, names_image
from lorair.images.tiles import MIN_TILE, MapTiles, check_tiles, is_out_of_memory, restore_tiled, tile_starts

__all__ = [
    "FORMATS",
    "FORMATS_16BIT",
    "MIN_TILE",
    "WRITABLE",
    "MapTiles",
    "Picture",
    "check_tiles",
    "decode_image",
    "encode_image",
    "format_of",
    "is_out_of_memory",
    "list_images",
    "names_image",
    "picture_from_samples",
    "read_image",
    "restore_tiled",
    "samples_from_picture",
    "tile_starts",
    "write_image",
]
