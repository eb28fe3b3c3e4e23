"""What n independent prompts prove of all: limits that hold for any distribution, with a stated confidence.

Pure functions of numbers. Knows no model, no metric and no record.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats as distributions

from harness.report.stats import mean


def tolerance_rank(n: int, share: float, confidence: float) -> int | None:
    """Return the smallest k in 1..n for which the k-th smallest of n draws covers ``share`` of them all.

    F(X_(k)) is at least a Beta(k, n + 1 − k) variable, whatever F is (ties only help), so that the k-th
    smallest is a limit with the wanted confidence where P(Beta ≥ share) is at least that. None: n is too
    small. Source: Wilks 1941, Clopper & Pearson 1934.
    """
    _check(n, confidence)
    if not 0 < share < 1:
        raise ValueError(f"a share lies between 0 and 1, got {share}")
    if n < fewest(share, confidence):
        return None
    low, high = 1, n
    while low < high:
        middle = (low + high) // 2
        covered = float(distributions.beta.sf(share, middle, n + 1 - middle)) >= confidence
        low, high = (low, middle) if covered else (middle + 1, high)
    return low


def fewest(share: float, confidence: float) -> int:
    """Return the fewest draws whose largest covers ``share`` of all: 1 − share^n ≥ confidence."""
    needed = math.ceil(math.log1p(-confidence) / math.log(share))
    return needed if 1 - share**needed >= confidence else needed + 1


def tolerance_limit(values: Sequence[float], share: float, confidence: float) -> float | None:
    """Return τ such that, with ``confidence``, at least ``share`` of all draws are ≤ τ; None: too few."""
    rank = tolerance_rank(len(values), share, confidence)
    return None if rank is None else sorted(values)[rank - 1]


def share_at_least(count: int, n: int, confidence: float) -> float:
    """Return the lower limit of a share of which ``count`` of n draws were seen, in [0, 1].

    Source: Clopper & Pearson 1934, one-sided. What is counted must have been settled before the draws.
    """
    _check(n, confidence)
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is no count")
    return 0.0 if count == 0 else float(distributions.beta.ppf(1 - confidence, count, n - count + 1))


def mean_at_most(values: Sequence[float], confidence: float, *, low: float, high: float) -> float:
    """Return the upper confidence limit of the mean of draws that lie in [low, high], in their unit.

    Empirical Bernstein: mean + √(2 V ln(2/δ)/n) + 7 (high − low) ln(2/δ) / (3 (n − 1)), V the unbiased
    variance, δ = 1 − confidence. Source: Maurer & Pontil 2009, theorem 4, for values times (high − low).
    Raises ValueError for fewer than two values, or one outside of the range.
    """
    n = len(values)
    _check(n - 1, confidence)
    if outside := [value for value in values if not low <= value <= high]:
        raise ValueError(f"{outside[0]} lies outside of [{low}, {high}]")
    centre = mean(values)
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    doubt = math.log(2 / (1 - confidence))
    limit = centre + math.sqrt(2 * variance * doubt / n) + 7 * (high - low) * doubt / (3 * (n - 1))
    return min(high, limit)


def _check(n: int, confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, got {confidence}")
    if n < 1:
        raise ValueError("too few draws")
