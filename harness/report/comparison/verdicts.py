"""From a difference to one sentence, by rule: better, worse, the same within a margin, or cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.report.comparison.paired import Difference, holm
from harness.report.comparison.power import subjects_needed

ALPHA = 0.05
Kind = Literal["better", "worse", "same", "open"]


@dataclass(frozen=True)
class Contrast:
    """One question of a family: a score, its margin m, and how two methods differ in it.

    ``higher_is_better`` says which sign of the difference is an advantage of the first method.
    """

    name: str
    margin: float
    difference: Difference
    higher_is_better: bool = True


@dataclass(frozen=True)
class Verdict:
    """What a contrast came to; ``p`` is corrected for its family (Holm)."""

    contrast: Contrast
    kind: Kind
    p: float

    @property
    def not_worse(self) -> bool:
        """Whether a disadvantage beyond the margin is excluded (95 %, one-sided)."""
        found, m = self.contrast.difference.equivalence, self.contrast.margin
        return found.low > -m if self.contrast.higher_is_better else found.high < m

    def sentence(self) -> str:
        """Say it in one sentence, with n and the interval that decides."""
        found = self.contrast.difference
        mean, m, n = abs(found.mean), self.contrast.margin, found.n
        if self.kind in ("better", "worse"):
            ends = f"[{found.interval.low:+.3f}, {found.interval.high:+.3f}]"
            return f"{self.kind} by {mean:.3f} {ends} (n = {n}, p = {self.p:.3g})"
        if self.kind == "same":
            ends = f"[{found.equivalence.low:+.3f}, {found.equivalence.high:+.3f}]"
            return f"the same within {m:g} (90 % interval {ends}, n = {n})"
        needed = subjects_needed(m, found.deviation)
        ends = f"[{found.interval.low:+.3f}, {found.interval.high:+.3f}]"
        wanted = f"{m:g} would need {needed}" if needed else f"{m:g} is out of reach"
        return f"cannot be told with {n} subjects {ends}; {wanted}"


def verdicts(family: Sequence[Contrast]) -> list[Verdict]:
    """Judge a family of contrasts together.

    *Better* and *worse*: the corrected sign-flip p is below ALPHA and the 95 % interval excludes 0. Else *the
    same* where the 90 % interval lies inside ±m (two one-sided tests). Else *open*.
    """
    corrected = holm([contrast.difference.p for contrast in family])
    return [Verdict(contrast, _kind(contrast, p), p) for contrast, p in zip(family, corrected, strict=True)]


def _kind(contrast: Contrast, p: float) -> Kind:
    found = contrast.difference
    if p < ALPHA and not found.interval.contains(0.0):
        return "better" if (found.mean > 0) == contrast.higher_is_better else "worse"
    inside = -contrast.margin < found.equivalence.low and found.equivalence.high < contrast.margin
    return "same" if inside else "open"


def dominates(judged: Sequence[Verdict], *, counting: Sequence[str] | None = None) -> bool:
    """Say whether the first method is not worse beyond the margin on all scores, and better on one at least.

    ``counting`` names the scores on which *better* counts (None: all): for a method that trains on the axis
    of the comparison, fidelity at equal drift is no win by itself.
    """
    chosen = {verdict.contrast.name for verdict in judged} if counting is None else set(counting)
    better = any(v.kind == "better" for v in judged if v.contrast.name in chosen)
    return better and all(verdict.not_worse for verdict in judged)
