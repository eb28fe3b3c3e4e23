"""Kernel distance between two sets of features (KID)."""

from __future__ import annotations

from harness.scores.similarity import Features, Float64, rows


def kid(a: Features, b: Features, *, gamma: float | None = None) -> float:
    """Unbiased estimate of MMD² with the kernel (γ·xᵀy + 1)³: about 0 for equal distributions, may be < 0.

    ``a`` [n, d], ``b`` [m, d], n, m ≥ 2; γ is 1/d unless given. For unit rows γ = 1 makes it (cosine + 1)³.
    Bińkowski et al., arXiv 1801.01401, §4; the estimator is Gretton et al. 2012, eq. 3.
    """
    x, y = rows(a), rows(b)
    n, m = len(x), len(y)
    if n < 2 or m < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"KID needs two sets of at least 2 rows of equal width, got {x.shape} and {y.shape}")
    scale = 1.0 / x.shape[1] if gamma is None else gamma

    def kernel(u: Float64, v: Float64) -> Float64:
        return (scale * (u @ v.T) + 1.0) ** 3

    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    within_x = (xx.sum() - xx.trace()) / (n * (n - 1))
    within_y = (yy.sum() - yy.trace()) / (m * (m - 1))
    return float(within_x + within_y - 2.0 * xy.mean())
