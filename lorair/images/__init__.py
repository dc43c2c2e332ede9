"""Image files <-> arrays: one reader, one writer, one listing, PSNR, tiles."""

from lorair.images.listing import FORMATS, WRITABLE, format_of, list_images, names_image
from lorair.images.picture import (
    Float32Image,
    Picture,
    Samples,
    Uint8Image,
    picture_from_samples,
    samples_from_picture,
    uint8_samples,
)
from lorair.images.psnr import psnr
from lorair.images.reader import decode_image, read_image, size_of
from lorair.images.tiles import MIN_TILE, MapTiles, check_tiles, is_out_of_memory, restore_tiled, tile_starts
from lorair.images.writer import FORMATS_16BIT, encode_image, write_image

__all__ = [
    "FORMATS",
    "FORMATS_16BIT",
    "MIN_TILE",
    "WRITABLE",
    "Float32Image",
    "MapTiles",
    "Picture",
    "Samples",
    "Uint8Image",
    "check_tiles",
    "decode_image",
    "encode_image",
    "format_of",
    "is_out_of_memory",
    "list_images",
    "names_image",
    "picture_from_samples",
    "psnr",
    "read_image",
    "restore_tiled",
    "samples_from_picture",
    "size_of",
    "tile_starts",
    "uint8_samples",
    "write_image",
]
