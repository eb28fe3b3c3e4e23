"""Which drift measure tells damage: rank correlations over settings, subjects resampled. Knows no records."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from harness.report.comparison.curves import Resampled, bootstrap

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

    def statistic(weights: Vector) -> float | None:
        share = weights / weights.sum()
        return rank_correlation(measure @ share, damage @ share)

    return bootstrap(statistic, measure.shape[1], replicates=replicates, seed=seed)
