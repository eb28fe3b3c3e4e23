"""What can be added to a denoiser to be trained in place of its weights, as the adaptation sees it.

Each kind stands in a module of its own, which knows how its layers are put in and taken out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from torch import Tensor
from torch.nn import Parameter

from harness.diffusion.lipschitz import Term
from harness.diffusion.weights.delta import Delta, ShareOf

PREFIX = "denoiser."
"""Before the names of what is trained, as before those of the denoiser's own weights."""


class Addition(ABC):
    """One kind, in place on a denoiser.

    key   in the details of a delta
    noun  how an error names it
    """

    key: ClassVar[str]
    noun: ClassVar[str]

    @abstractmethod
    def details(self) -> Any:
        """Say, JSON-able, how it can be put in again."""

    @abstractmethod
    def parameters(self) -> dict[str, Parameter]:
        """Give what is trained, by name."""

    @abstractmethod
    def terms(self, names: Sequence[str] | None = None) -> list[Term]:
        """Give the changes of the named parameters (None: of all) for a constraint."""

    @abstractmethod
    def place(self, tuned: Delta, share: ShareOf) -> None:
        """Set of the change that a delta's adapters make the share of each by name; 0 and 1 bit for bit."""

    @abstractmethod
    def at_base(self) -> AbstractContextManager[None]:
        """While inside, the denoiser predicts as if nothing had been added; no gradient may be taken."""

    @abstractmethod
    def remove(self) -> None:
        """Take it out, bit for bit."""


def between(base: Tensor, tuned: Tensor, share: float) -> Tensor:
    """Base + share·(tuned − base) in float32, both [...]; either end exactly."""
    if share in (0, 1):
        return tuned if share else base
    start = base.float()
    return start + share * (tuned.to(start) - start)
