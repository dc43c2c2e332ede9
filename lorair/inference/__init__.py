"""Restore with any runtime: images in memory, files, folders of files."""

from lorair.inference.file_record import FileRecord
from lorair.inference.files import restore_files
from lorair.inference.jobs import plan_jobs
from lorair.inference.pixels import ImageLike, pad_reflected, tensor_from_pixels
from lorair.inference.restoration import restore, restore_picture, restore_tensor, usable_tile
from lorair.inference.runtime import Runtime, open_runtime
from lorair.inference.torch_runtime import SCHEME, TorchRuntime, images_together

__all__ = [
    "SCHEME",
    "FileRecord",
    "ImageLike",
    "Runtime",
    "TorchRuntime",
    "images_together",
    "open_runtime",
    "pad_reflected",
    "plan_jobs",
    "restore",
    "restore_files",
    "restore_picture",
    "restore_tensor",
    "tensor_from_pixels",
    "usable_tile",
]
