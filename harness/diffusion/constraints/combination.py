"""The constraints of one trial together: several kinds may hold at once, on the same changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.diffusion.constraints.base import Constraint
from harness.diffusion.constraints.registry import kinds

ENTRIES = "on A, B"
"""How a title says that the entries of adapters are constrained, in place of the change that they make."""


@dataclass(frozen=True)
class Combination:
    """Constraints by rank, and what they act on: ``effective`` changes or ``entries`` of adapters."""

    members: tuple[Constraint, ...] = ()
    on: str = "effective"

    @classmethod
    def read(cls, settings: Mapping[str, Any] | None) -> Combination:
        """Read a trial's ``lipschitz`` mapping, as a record has it; None and missing keys: the defaults."""
        settings = settings or {}
        found = (kind.read(settings) for kind in kinds())
        return cls(tuple(each for each in found if each is not None), settings.get("on", "effective"))

    def __bool__(self) -> bool:
        return bool(self.members)

    @property
    def leading(self) -> Constraint | None:
        """The constraint whose curve a row is on: the last by rank; None without any."""
        return self.members[-1] if self.members else None

    @property
    def uses_bank(self) -> bool:
        """Whether a training needs a bank for one of them."""
        return any(each.uses_bank for each in self.members)

    @property
    def output_limit(self) -> float | None:
        """The least ‖Δε‖₂ that one of them keeps every record within; None: there is no limit."""
        return min(
            (each.output_limit for each in self.members if each.output_limit is not None), default=None
        )

    @property
    def short(self) -> list[str]:
        """The short form of a trial's own title: ``["λ=500"]``, ``["B=0.5·‖θ0‖", "on A, B"]``."""
        return [*(each.short for each in self.members), *self._entries()]

    @property
    def long(self) -> list[str]:
        """The form of tables: ``["λ=500 (sum)", "on A, B"]``."""
        return [*(each.long for each in self.members), *self._entries()]

    @property
    def scale(self) -> str:
        """What the leading strength is measured in where that is not the usual: ", sum, on A, B"."""
        entries = "".join(f", {word}" for word in self._entries())
        return (self.leading.scale if self.leading else "") + entries

    def known_as(self, method: str, params: Mapping[str, Any]) -> str | None:
        """Name the publication's method that a method with just these constraints is; None: none."""
        return self.members[0].known_as(method, params) if len(self.members) == 1 else None

    def _entries(self) -> list[str]:
        return [ENTRIES] if self.on == "entries" else []
