"""Ctrl-C and SIGTERM at a moment of our choosing: between two records, never inside one."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """The user wants to stop. Not an Exception, so that nobody on the way takes it for a failure."""


class Interruption:
    """While entered, the first signal only sets a flag, which :meth:`check` turns into Interrupted.

    A second one raises KeyboardInterrupt on the spot, for a user who will not wait.
    """

    def __init__(self) -> None:
        self._signalled = False
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
        """Raise Interrupted if a signal came."""
        if self._signalled:
            raise Interrupted

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signalled:
            raise KeyboardInterrupt
        self._signalled = True
