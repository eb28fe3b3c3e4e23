"""Which drift measure tells damage: rank correlations over settings, subjects resampled. Knows no records."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from harness.report.comparison.curves import Resampled

Vector = NDArray[np.float64]


def rank_correlation(first: Vector, second: Vector) -> float | None:
    """Return Spearman's ρ, −1..1, of two vectors [n], ties at their mean rank; None for a constant one."""
    x, y = (rankdata(values) - (len(values) + 1) / 2 for values in (first, second))
    length = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / length if length else None


def agreement(measure: Vector, damage: Vector, *, replicates: int = 2_000, seed: int = 0) -> Resampled:
    """Correlate the mean drift of settings with their mean damage, both [settings, subjects].

    Subjects are resampled, settings stay: the interval says how far other subjects would rank alike.
    """
    count = measure.shape[1]
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), replicates)
    found = _correlations(drawn @ measure.T, drawn @ damage.T)
    value = rank_correlation(measure.mean(axis=1), damage.mean(axis=1))
    if not found.size:
        return Resampled(value, float("nan"), float("nan"), 0.0)
    low, high = np.quantile(found, [0.025, 0.975])
    return Resampled(value, float(low), float(high), len(found) / replicates)


def _correlations(first: Vector, second: Vector) -> Vector:
    """Spearman's ρ of each line of two matrices [n, settings]; lines that are constant are left out."""
    x, y = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (first, second))
    lengths = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    kept = lengths > 0
    return (x * y).sum(axis=1)[kept] / lengths[kept]
