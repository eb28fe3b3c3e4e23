"""What a trial costs: seconds by stage and peak memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


class Clock:
    """Times the stages of one trial on its device.

    ``seconds`` by stage; a stage that is entered twice adds up. The peak memory is of the time since the
    clock was made: on a CPU the process's own, models included (outside Linux: since the process began); on a
    GPU what torch allocated.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            _reset_peak()

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the wall-clock seconds of the block to a stage."""
        self._wait()
        started = time.perf_counter()
        try:
            yield
        finally:
            self._wait()
            self.add(stage, time.perf_counter() - started)

    def add(self, stage: str, seconds: float) -> None:
        """Charge seconds to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_memory(self) -> int:
        """Return the peak memory in bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return _peak_of_process()

    @property
    def device_name(self) -> str:
        """Name the device for the record."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        threads = torch.get_num_threads()
        return f"{self.device.type}, {threads} thread{'s' if threads > 1 else ''}"


def _reset_peak() -> None:
    """Let Linux forget the process's peak so far (proc(5), clear_refs); elsewhere nothing happens."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_of_process() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
