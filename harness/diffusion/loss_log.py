"""The losses of a run on their way to the CPU, and the error of one that is no longer a number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.api import Progress
from harness.errors import HarnessError


class TrainingDiverged(HarnessError):
    """The loss or a weight is no longer a finite number. ``step`` counts from 1."""

    def __init__(self, what: str, step: int, steps: int) -> None:
        super().__init__(f"{what} at step {step} of {steps}; lower lr, or use precision: fp32")
        self.step = step


class LossLog:
    """Losses on their way to the CPU, a few at a time so that a GPU need not wait."""

    def __init__(self, steps: int, losses: list[float], progress: Progress | None, *, every: int) -> None:
        self.steps, self.losses, self.progress, self.every = steps, losses, progress, every
        self._waiting: list[Tensor] = []
        self._done = 0

    def add(self, loss: Tensor) -> None:
        """Take the loss of one optimizer step, a scalar []."""
        self._waiting.append(loss)
        if len(self._waiting) >= self.every:
            self.flush()

    def flush(self) -> None:
        """Fetch what is waiting. Raises TrainingDiverged."""
        if not self._waiting:
            return
        for value in torch.stack(self._waiting).tolist():
            self._done += 1
            if not math.isfinite(value):
                raise TrainingDiverged(f"the loss became {value}", self._done, self.steps)
            self.losses.append(value)
        self._waiting.clear()
        if self.progress is not None:
            self.progress("fit", self._done, self.steps, self.losses[-1])
