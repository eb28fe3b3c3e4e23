"""Paired differences between two methods: mean, interval, exact p, and p corrected for a family of tests.

The unit of replication is the subject. Knows neither records nor measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.report.stats import Interval, paired_differences, t_interval

EXACT_SUBJECTS = 20
"""Up to so many subjects every pattern of signs is tried; above, DRAWS random ones."""
DRAWS = 100_000
LEAST_SUBJECTS = 3
TIE = 1e-12
"""Sums that differ by less than this share of Σ|d| count as equal: the order of adding decides no p."""


@dataclass(frozen=True)
class Difference:
    """The mean of ``first − second`` over subjects with its 95 % t interval.

    ``deviation`` is the standard deviation between subjects; ``p`` the two-sided sign-flip p.
    """

    interval: Interval
    equivalence: Interval
    deviation: float
    p: float

    @property
    def mean(self) -> float:
        """The mean difference."""
        return self.interval.mean

    @property
    def n(self) -> int:
        """How many subjects both have."""
        return self.interval.n


def difference(first: Mapping[str, float], second: Mapping[str, float]) -> Difference:
    """Compare two methods over the subjects that both have; ValueError for fewer than LEAST_SUBJECTS.

    ``equivalence`` is the 90 % interval: inside ±m both one-sided 5 % tests against ±m reject (TOST).
    """
    values = paired_differences(first, second)
    if len(values) < LEAST_SUBJECTS:
        raise ValueError(f"{len(values)} common subjects, at least {LEAST_SUBJECTS} are needed")
    wide, narrow = t_interval(values), t_interval(values, level=0.90)
    assert wide is not None and narrow is not None
    return Difference(wide, narrow, float(np.std(values, ddof=1)), sign_flip_p(values))


def sign_flip_p(differences: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> float:
    """Return the two-sided p, in (0, 1], of a mean of 0 when every sign is as likely as its opposite.

    Exact over all 2ⁿ patterns up to EXACT_SUBJECTS; above, ``draws`` random patterns and (1 + k)/(1 + draws),
    which never gives 0 (Phipson and Smyth 2010). Fisher 1935, §21.
    """
    values = np.asarray(differences, dtype=np.float64)
    observed = abs(values.sum()) - TIE * np.abs(values).sum()
    if len(values) <= EXACT_SUBJECTS:
        return float((np.abs(_signed_sums(values)) >= observed).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (draws, len(values)), dtype=np.int8) * 2 - 1
    return float((1 + (np.abs(signs @ values) >= observed).sum()) / (1 + draws))


def _signed_sums(values: np.ndarray) -> np.ndarray:
    """Give the sum under every pattern of signs: [2ⁿ]."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct the p values of a family of tests by Holm's step-down method (Holm 1979), in their order."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
