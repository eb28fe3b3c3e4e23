"""A share for each block of a change: the most of the subject within a limit on drift. Knows no model.

To first order the predictions move by Σ_b a_b·J_bΔ_b, hence E‖Δε‖² = aᵀHa with H_bc = E⟨J_bΔ_b, J_cΔ_c⟩. What
block b alone gives the subject is g_b. For every ρ > 0 the shares maximize gᵀa − (ρ/2)·aᵀHa over 0 ≤ a ≤ 1; ρ
is what keeps the drift, as measured, within the limit. Interpolation as a whole is the case a_b = α.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import bisect, lsq_linear

from harness.trial.calibration import largest_share

Vector = NDArray[np.float64]
RIDGE = 1e-9
"""Added to the diagonal of H, relatively: the shares stay determined where blocks do the same."""


@dataclass(frozen=True)
class Merged:
    """The shares [B] that were found, their drift on the calibration probe, how often it was evaluated."""

    shares: Vector
    drift: float
    evaluations: int


@dataclass(frozen=True)
class Tradeoff:
    """What blocks give and what they cost: ``gains`` g [B], and ``gram`` H [B, B], some of it above 0."""

    gains: Vector
    gram: Vector

    def at(self, rho: float) -> Vector:
        """Give the shares [B] that maximize gᵀa − (ρ/2)·aᵀHa over 0 ≤ a ≤ 1."""
        size, root = self._factor
        # In x = a·√H_bb, and as least squares: ½‖√ρ·Rx − R⁻ᵀg/√ρ‖², RᵀR the correlations of H.
        goal = np.linalg.solve(root.T, self.gains / size) / math.sqrt(rho)
        found = lsq_linear(math.sqrt(rho) * root, goal, bounds=(np.zeros(len(size)), size), method="bvls")
        return np.clip(found.x / size, 0.0, 1.0)

    def predicted(self, shares: Vector) -> float:
        """Give √(aᵀHa), the drift of shares [B] to first order."""
        return math.sqrt(max(0.0, float(shares @ self.gram @ shares)))

    def path(self, part: float) -> Vector:
        """Give the best shares [B] whose predicted drift is a part, in [0, 1], of the most that any has.

        1 is ρ → 0: every block that gives anything is whole.
        """
        most = np.where(self.gains > 0, 1.0, 0.0)
        target = part * self.predicted(most)
        if part == 1 or target == 0:
            return part * most

        def above(log_rho: float) -> float:
            return self.predicted(self.at(math.exp(log_rho))) - target

        low = high = math.log(float(np.abs(self.gains).max()) / target**2)
        while above(low) <= 0:
            low -= 2.0
        while above(high) > 0:
            high += 2.0
        return self.at(math.exp(bisect(above, low, high, xtol=1e-12)))

    @cached_property
    def _factor(self) -> tuple[Vector, Vector]:
        cost = np.diag(self.gram)
        size: Vector = np.sqrt(np.maximum(cost, RIDGE**2 * cost.max()))
        correlations: Vector = self.gram / np.outer(size, size) + RIDGE * np.eye(len(size))
        root: Vector = np.linalg.cholesky(correlations).T.astype(np.float64)
        return size, root


def merged(
    drift: Callable[[Vector], float], blocks: int, tradeoff: Callable[[], Tradeoff], limit: float
) -> Merged:
    """Find the best shares whose measured drift is at most ``limit``, to 1 %; all are 1 where that is within.

    Secant steps along :meth:`Tradeoff.path`, which is asked for only where it is needed. The drift stays
    below the limit where that of all the blocks which give anything does.
    """
    whole = np.ones(blocks)
    first = drift(whole)
    if first <= limit:
        return Merged(whole, first, 1)
    path = tradeoff().path
    reached = largest_share(lambda part: drift(path(part)), limit)
    return Merged(path(reached.share), reached.drift, 1 + reached.evaluations)
