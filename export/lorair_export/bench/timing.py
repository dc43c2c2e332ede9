"""Time several forms of one computation in turn, so that all run under the same load."""

import time
from collections.abc import Callable, Mapping
from statistics import median

from lorair.system import machine_facts


def median_seconds(forms: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each form over `rounds` that call every form once, after one uncounted round."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(rounds + 1):
        for name, form in forms.items():
            started = time.perf_counter()
            form()
            if turn > 0:
                seconds[name].append(time.perf_counter() - started)
    return {name: median(values) for name, values in seconds.items()}


def machine_line() -> str:
    """Processor, threads, torch and commit of a measurement in one line."""
    facts = machine_facts()
    threads, version = facts["threads"]["torch"], facts["versions"]["torch"]
    return f"{facts['processor']}, {threads} threads, torch {version}, commit {facts['commit'] or 'unknown'}"
