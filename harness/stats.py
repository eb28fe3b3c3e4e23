"""Means, standard errors, intervals and sign-flip tests over subjects: numbers in, numbers out.

The unit of replication is the subject: every sequence here holds one number per subject (seeds and prompts
are averaged before). Sums are exact (``math.fsum``), so the order of the values changes no bit of a result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats as distributions

EXACT_LIMIT = 24
"""Most subjects for which all 2ⁿ sign flips are enumerated (2²⁴ float64 take 128 MiB)."""


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
    reach = float(distributions.t.ppf((1 + level) / 2, df=len(numbers) - 1)) * error
    centre = mean(numbers)
    return Interval(centre, centre - reach, centre + reach, len(numbers))


def bca_interval(
    values: Iterable[float], *, level: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Interval | None:
    """Give the bias-corrected, accelerated bootstrap interval of the mean (Efron 1987), drawn with ``seed``.

    None for fewer than two values; equal values give an interval of no width. Values are sorted first, so
    that their order changes nothing.
    """
    numbers = sorted(values)
    if len(numbers) < 2:
        return None
    if numbers[0] == numbers[-1]:
        return Interval(numbers[0], numbers[0], numbers[0], len(numbers))
    drawn = distributions.bootstrap(
        (np.asarray(numbers, dtype=np.float64),),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean(numbers), float(drawn.low), float(drawn.high), len(numbers))


def paired_differences(first: Mapping[str, float], second: Mapping[str, float]) -> list[float]:
    """Give ``first − second`` for every subject that both know, in the order of the subjects' names."""
    return [first[subject] - second[subject] for subject in sorted(first.keys() & second.keys())]


def paired_interval(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    level: float = 0.95,
    method: Literal["t", "bca"] = "t",
    seed: int = 0,
) -> Interval | None:
    """Give the interval of the mean of ``first − second`` over common subjects; None for fewer than two."""
    differences = paired_differences(first, second)
    if method == "bca":
        return bca_interval(differences, level=level, seed=seed)
    return t_interval(differences, level=level)


def sign_flip_test(
    differences: Sequence[float], *, alternative: Literal["two-sided", "greater", "less"] = "two-sided"
) -> float:
    """Give the exact p-value of "the differences are symmetric about 0" by flipping every sign (Fisher 1935).

    ``differences``: one paired difference per subject. The smallest two-sided p is 2 / 2ⁿ (n = 6: .031).
    ValueError for none, and for more than EXACT_LIMIT.
    """
    if not 1 <= len(differences) <= EXACT_LIMIT:
        raise ValueError(f"an exact test takes 1 to {EXACT_LIMIT} differences, got {len(differences)}")
    totals = np.zeros(1)
    for difference in sorted(differences):
        totals = np.concatenate([totals + difference, totals - difference])
    observed = math.fsum(differences)
    # The observed signs are among the flips: rounding must not put their sum below itself.
    slack = 1e-12 * math.fsum(abs(x) for x in differences)
    if alternative == "greater":
        extreme = totals >= observed - slack
    elif alternative == "less":
        extreme = totals <= observed + slack
    else:
        extreme = np.abs(totals) >= abs(observed) - slack
    return float(extreme.mean())
