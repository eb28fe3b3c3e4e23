"""Methods as curves over drift: monotone paths, their difference over the common support, the area below.

A path is made of means over (resampled) subjects, so that everything is redone in each bootstrap replicate.
Knows neither records nor measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

LEAST_OVERLAP = 0.25
"""Curves that share less than this part of their union are not compared."""
REPLICATES = 2_000


@dataclass(frozen=True)
class Settings:
    """The settings of one method, each with a number per subject.

    drift, score, fidelity  [settings, subjects]; ``fidelity`` decides how far a path goes
    floor                   the base model's score [subjects], at drift 0
    start                   where the base model stands on the axis [subjects]; None: at 0
    """

    drift: Vector
    score: Vector
    fidelity: Vector
    floor: Vector
    rising: bool = True
    start: Vector | None = None

    def path(self, weights: Vector) -> Path:
        """Average over subjects with ``weights`` [subjects]; make it monotone in the score's direction.

        Settings stand in the order of their mean drift, up to the largest mean fidelity; the anchor
        (0, floor) comes first. Isotonic by pooled adjacent violators (Barlow et al. 1972).
        """
        from scipy.optimize import isotonic_regression  # slow to import, and many tables have no curve

        share = weights / weights.sum()
        order = np.argsort(self.drift @ share, kind="stable")
        x, y = (self.drift @ share)[order], (self.score @ share)[order]
        kept = int(np.argmax((self.fidelity @ share)[order])) + 1
        start = 0.0 if self.start is None else self.start @ share
        x, y = np.concatenate([[start], x[:kept]]), np.concatenate([[self.floor @ share], y[:kept]])
        return Path(x, isotonic_regression(y, increasing=self.rising).x)


@dataclass(frozen=True)
class Path:
    """A piecewise linear curve through points of rising drift; the first is the base model."""

    drift: Vector
    score: Vector

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest drift of a setting, the anchor left out."""
        return float(self.drift[1]), float(self.drift[-1])

    def at(self, drift: Vector) -> Vector:
        """Interpolate the score at drifts [n]."""
        return np.interp(drift, self.drift, self.score)


def mean_difference(first: Path, second: Path) -> float | None:
    """Average ``first − second`` over the common support; None where it is below LEAST_OVERLAP of the union.

    Exact: both are linear between the joined knots.
    """
    supports = (first.support, second.support)
    low, high = max(s[0] for s in supports), min(s[1] for s in supports)
    union = max(s[1] for s in supports) - min(s[0] for s in supports)
    if high <= low or high - low < LEAST_OVERLAP * union:
        return None
    knots = np.unique(np.concatenate([first.drift, second.drift, [low, high]]))
    knots = knots[(knots >= low) & (knots <= high)]
    return float(np.trapezoid(first.at(knots) - second.at(knots), knots) / (high - low))


def difference_at(first: Path, second: Path, places: Vector) -> Vector:
    """Return ``first − second`` at places of the axis [n]; NaN outside of what both reach."""
    low = max(path.support[0] for path in (first, second))
    high = min(path.support[1] for path in (first, second))
    reached = (places >= low) & (places <= high)
    return np.where(reached, first.at(places) - second.at(places), np.nan)


def band(
    settings: Settings, places: Vector, *, replicates: int = REPLICATES, level: float = 0.95, seed: int = 0
) -> tuple[Vector, Vector, Vector]:
    """Give a path at places [n], and the two ends of its interval when subjects are resampled: each [n].

    The path of all subjects ends at its own support; beyond it all three are NaN.
    """
    count = settings.drift.shape[1]
    path = settings.path(np.ones(count))
    rng = np.random.default_rng(seed)
    drawn = np.array([settings.path(_weights(rng, count)).at(places) for _ in range(replicates)])
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    beyond = places > path.support[1]
    line, low, high = (np.where(beyond, np.nan, values) for values in (path.at(places), *ends))
    return line, low, high


def area(path: Path, largest: float, *, floor: float, ceiling: float) -> float:
    """Return ∫₀^largest (f − floor) as a share of (ceiling − floor)·largest: the smoothed hypervolume, 0..1.

    Beyond its last point a path stays where it is: less drift was enough.
    """
    knots = np.unique(np.concatenate([path.drift[path.drift < largest], [0.0, largest]]))
    return float(np.trapezoid(path.at(knots) - floor, knots) / ((ceiling - floor) * largest))


@dataclass(frozen=True)
class Resampled:
    """A statistic of all subjects, its bootstrap interval, and the ``share`` of replicates that had it."""

    value: float | None
    low: float
    high: float
    share: float


def bootstrap(
    statistic: Callable[[Vector], float | None],
    subjects: int,
    *,
    replicates: int = REPLICATES,
    level: float = 0.95,
    seed: int = 0,
) -> Resampled:
    """Resample subjects; ``statistic`` gets a weight per subject [subjects] and gives None if undefined.

    Percentile interval (Efron 1979). NaN ends where no replicate was defined.
    """
    rng = np.random.default_rng(seed)
    found = [value for _ in range(replicates) if (value := statistic(_weights(rng, subjects))) is not None]
    value = statistic(np.ones(subjects))
    if not found:
        return Resampled(value, float("nan"), float("nan"), 0.0)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Resampled(value, float(low), float(high), len(found) / replicates)


def differences_at(
    first: Settings,
    second: Settings,
    places: Sequence[float],
    *,
    replicates: int = REPLICATES,
    level: float = 0.95,
    seed: int = 0,
) -> list[Resampled]:
    """Resample subjects; give ``first − second`` at each place, None where one does not reach it."""
    where, count = np.asarray(places), first.drift.shape[1]
    rng = np.random.default_rng(seed)

    def at(weights: Vector) -> Vector:
        return difference_at(first.path(weights), second.path(weights), where)

    drawn = np.array([at(_weights(rng, count)) for _ in range(replicates)])
    return [_resampled(value, column, level) for value, column in zip(at(np.ones(count)), drawn.T)]


def _resampled(value: float, drawn: Vector, level: float) -> Resampled:
    held = drawn[~np.isnan(drawn)]
    known = None if np.isnan(value) else float(value)
    if not held.size:
        return Resampled(known, float("nan"), float("nan"), 0.0)
    low, high = np.quantile(held, [(1 - level) / 2, (1 + level) / 2])
    return Resampled(known, float(low), float(high), len(held) / len(drawn))


def own_differences(first: Settings, second: Settings) -> list[float | None]:
    """Compare each subject's own two curves: the mean difference over what both reach, None without overlap.

    Where a method has one setting, at that setting's drift. An isolated subject: no bootstrap.
    """
    alone = list(np.eye(first.drift.shape[1]))
    return [_own_difference(first.path(weights), second.path(weights)) for weights in alone]


def _own_difference(first: Path, second: Path) -> float | None:
    points = [path for path in (first, second) if path.support[0] == path.support[1]]
    if not points:
        return mean_difference(first, second)
    found = float(difference_at(first, second, np.array([points[0].support[0]]))[0])
    return None if np.isnan(found) else found


def _weights(rng: np.random.Generator, subjects: int) -> Vector:
    return np.bincount(rng.integers(0, subjects, subjects), minlength=subjects).astype(np.float64)


def share_dominant(
    differences: Mapping[str, Sequence[float]], *, replicates: int = REPLICATES, seed: int = 0
) -> float:
    """Return the share of paired bootstrap replicates in which all mean differences are no worse than 0.

    ``differences``: score → one difference per subject, same subjects in the same order, better above 0.
    """
    matrix = np.array(list(differences.values()), dtype=np.float64)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, matrix.shape[1], (replicates, matrix.shape[1]))
    return float((matrix[:, drawn].mean(axis=2) >= 0).all(axis=0).mean())
