"""What a number of subjects can show: smallest effects, numbers needed, by the noncentral t distribution."""

from __future__ import annotations

import math

POWER, ALPHA = 0.80, 0.05
MOST_SUBJECTS = 100_000


def power(effect: float, deviation: float, n: int, *, alpha: float = ALPHA) -> float:
    """Return the chance, 0..1, that a two-sided paired t test of ``n`` subjects sees a true mean ``effect``.

    ``deviation`` is the standard deviation of the paired differences, in the effect's unit.
    """
    from scipy import stats as distributions  # slow to import, and many tables ask for no power

    critical = distributions.t.ppf(1 - alpha / 2, n - 1)
    shift = abs(effect) / deviation * math.sqrt(n)
    if shift > critical + 40:  # the distribution's tail is no number there
        return 1.0
    # The lower tail mirrored: scipy's cdf is no number in the middle of its own.
    upper, lower = (distributions.nct.sf(critical, n - 1, way) for way in (shift, -shift))
    return float(upper + lower)


def smallest_effect(deviation: float, n: int, *, wanted: float = POWER, alpha: float = ALPHA) -> float:
    """Return the smallest true mean that ``n`` subjects show with the wanted power, in its own unit."""
    from scipy.optimize import brentq

    if n < 2:
        raise ValueError(f"a paired test needs at least 2 subjects, got {n}")
    if deviation == 0:
        return 0.0
    largest = deviation
    while power(largest, deviation, n, alpha=alpha) < wanted:
        largest *= 1.5
    return float(brentq(lambda effect: power(effect, deviation, n, alpha=alpha) - wanted, 0.0, largest))


def subjects_needed(
    effect: float, deviation: float, *, wanted: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Return the fewest subjects with which a true mean ``effect`` is seen; None above MOST_SUBJECTS."""
    if deviation == 0:
        return 2
    low, high = 1, 2
    while power(effect, deviation, high, alpha=alpha) < wanted:
        if high == MOST_SUBJECTS:
            return None
        low, high = high, min(high * 2, MOST_SUBJECTS)
    while high - low > 1:
        middle = (low + high) // 2
        if power(effect, deviation, middle, alpha=alpha) < wanted:
            low = middle
        else:
            high = middle
    return high
