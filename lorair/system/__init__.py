"""Devices, atomic file writing, and the machine facts that a measurement records."""

from lorair.system.device import resolve_device
from lorair.system.files import folder_written_aside, remove_unfinished, write_bytes, write_text, written_aside
from lorair.system.machine import machine_facts, peak_rss_mib

__all__ = [
    "folder_written_aside",
    "machine_facts",
    "peak_rss_mib",
    "remove_unfinished",
    "resolve_device",
    "write_bytes",
    "write_text",
    "written_aside",
]
