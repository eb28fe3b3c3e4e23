"""Means, standard errors and intervals over subjects: numbers in, numbers out.

The unit of replication is the subject: every sequence here holds one number per subject (seeds and prompts
are averaged before). Sums are exact (``math.fsum``), so the order of the values changes no bit of a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` subjects with the two ends of its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float
    n: int

    def contains(self, value: float) -> bool:
        """Say whether ``value`` lies in the closed interval."""
        return self.low <= value <= self.high


def mean(values: Iterable[float]) -> float:
    """Average ``values`` with an exact sum; ValueError when there are none."""
    numbers = list(values)
    if not numbers:
        raise ValueError("the mean of no values is undefined")
    return math.fsum(numbers) / len(numbers)


def standard_error(values: Iterable[float]) -> float | None:
    """Give the standard error of the mean, s / √n with s² over n − 1; None for fewer than two values."""
    numbers = list(values)
    if len(numbers) < 2:
        return None
    centre = mean(numbers)
    variance = math.fsum((x - centre) ** 2 for x in numbers) / (len(numbers) - 1)
    return math.sqrt(variance / len(numbers))


def t_interval(values: Iterable[float], *, level: float = 0.95) -> Interval | None:
    """Give Student's interval of the mean, mean ± t(n − 1)·s.e.; None for fewer than two values."""
    numbers = list(values)
    error = standard_error(numbers)
    if error is None:
        return None
    reach = _quantile(len(numbers) - 1, (1 + level) / 2) * error
    centre = mean(numbers)
    return Interval(centre, centre - reach, centre + reach, len(numbers))


@cache
def _quantile(degrees: int, share: float) -> float:
    """Student's quantile: asked for every pair of rows, and the same for all of one n."""
    return float(stdtrit(degrees, share))


def paired_differences(first: Mapping[str, float], second: Mapping[str, float]) -> list[float]:
    """Give ``first − second`` for every subject that both know, in the order of the subjects' names."""
    return [first[subject] - second[subject] for subject in sorted(first.keys() & second.keys())]


def paired_interval(
    first: Mapping[str, float], second: Mapping[str, float], *, level: float = 0.95
) -> Interval | None:
    """Give the interval of the mean of ``first − second`` over common subjects; None for fewer than two."""
    return t_interval(paired_differences(first, second), level=level)
