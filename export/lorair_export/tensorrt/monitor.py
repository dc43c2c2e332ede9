"""A build that shows its phases and that a signal can stop."""

import logging
from concurrent.futures import ThreadPoolExecutor

from rich.progress import Progress, TaskID

from lorair_export.tensorrt.api import Buffer, Builder, BuilderConfig, Module, Network, ProgressMonitor

logger = logging.getLogger(__name__)


def monitored_build(
    trt: Module, builder: Builder, network: Network, config: BuilderConfig, progress: Progress | None
) -> Buffer | None:
    """`build_serialized_network` with its phases shown; None where it failed.

    It runs in a thread of its own: signals come to the main thread, which must be free to take them. What a signal
    raises, such as KeyboardInterrupt, ends the build at its next step and is raised here.
    """
    phases = _Phases(progress)
    monitor = _monitor(trt, phases)  # held here, for the bindings may not hold it
    config.progress_monitor = monitor
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(builder.build_serialized_network, network, config).result()
        except (KeyboardInterrupt, SystemExit):
            phases.cancelled = True
            logger.warning("interrupted; TensorRT stops at its next step, which can take half a minute")
            raise


class _Phases:
    """The nested phases of a build as bars; `cancelled` stops it at its next step."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.cancelled = False
        self.tasks: dict[str, TaskID] = {}

    def start(self, phase: str, steps: int) -> None:
        if self.progress is not None:
            self.tasks[phase] = self.progress.add_task(phase, total=steps)

    def complete(self, phase: str, step: int) -> None:
        if self.progress is not None and phase in self.tasks:
            self.progress.update(self.tasks[phase], completed=step + 1)

    def finish(self, phase: str) -> None:
        if self.progress is not None and phase in self.tasks:
            self.progress.remove_task(self.tasks.pop(phase))


def _monitor(trt: Module, phases: _Phases) -> ProgressMonitor:
    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.complete(phase_name, step)
            return not phases.cancelled

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()
