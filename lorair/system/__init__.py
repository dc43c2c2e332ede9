"""What lorair asks of the machine: devices, and the facts that a measurement is recorded with."""

from lorair.system.device import resolve_device
from lorair.system.machine import commit_of, machine_facts, peak_rss_mib

__all__ = ["commit_of", "machine_facts", "peak_rss_mib", "resolve_device"]
