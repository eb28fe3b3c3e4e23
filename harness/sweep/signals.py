"""Ctrl-C, SIGTERM and a deadline at a moment of our choosing: between two records, never inside one."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, Literal

Reason = Literal["signal", "time", "failure"]
"""Why a sweep ended early: the user's signal, the time that it was given, a failed trial."""


class Interrupted(BaseException):
    """The sweep is to stop. Not an Exception, so that nobody on the way takes it for a failure."""


class Interruption:
    """While entered, the first signal only sets a flag, which :meth:`check` turns into Interrupted.

    A second one raises KeyboardInterrupt on the spot, for a user who will not wait. ``deadline``, a time of
    ``time.monotonic()``, does as a first signal; ``why`` says what it was.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._signalled = False
        self.why: Reason | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        self.arm()
        return self

    def arm(self) -> None:
        """Take the signals over, again if a library took them in the meantime; only in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.signal(number, self._note)
                self._before.setdefault(number, before)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def check(self) -> None:
        """Raise Interrupted if a signal came, the time is over, or :meth:`stop` was called."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.stop("time")
        if self.why is not None:
            raise Interrupted

    def stop(self, why: Reason) -> None:
        """Let the next check raise; the first reason counts."""
        self.why = self.why or why

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
        self.stop("signal")
