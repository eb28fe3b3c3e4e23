"""How many images go through a network at once: half as many after memory did not suffice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from harness.errors import HarnessError

T = TypeVar("T")
log = logging.getLogger("harness")


class OutOfMemory(HarnessError):
    """The GPU's memory does not suffice for training."""

    def __init__(self, batch: int, error: Exception) -> None:
        reason = str(error).partition(". ")[0]
        super().__init__(
            f"training {batch} images at once does not fit ({reason}): set "
            "execution.gradient_checkpointing: true, a smaller params.batch with more params.accumulate "
            "where the method has it, precision: bf16, or resources.gpus: 1 for a GPU of its own"
        )


class Batches:
    """Batch sizes by purpose, remembered: what did not fit once is not tried again at that size.

    halved  purpose → the size that it came down to, for the record
    """

    def __init__(self) -> None:
        self.halved: dict[str, int] = {}

    def over(self, n: int, largest: int, work: Callable[[slice], T], *, purpose: str) -> list[T]:
        """Call ``work`` on slices that cover range(n), at most ``largest`` long; out of memory halves them.

        Raises torch.OutOfMemoryError where a single one does not fit.
        """
        results: list[T] = []
        first = 0
        while first < n:
            size = min(largest, self.halved.get(purpose, largest))
            part = slice(first, min(first + size, n))
            try:
                results.append(work(part))
            except torch.OutOfMemoryError:
                if part.stop - part.start == 1:
                    raise
                self.halved[purpose] = max(1, (part.stop - part.start) // 2)
                log.warning("out of memory at %d %s; going on with %d at once",
                            part.stop - part.start, purpose, self.halved[purpose])  # fmt: skip
            else:
                first = part.stop
                continue
            torch.cuda.empty_cache()  # out of the except block, which holds on to what did not fit
        return results
