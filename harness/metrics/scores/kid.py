"""Kernel distance between two sets of features (KID)."""

from __future__ import annotations

from harness.metrics.scores.similarity import Features, Float64, rows


def kid(a: Features, b: Features, *, gamma: float | None = None, paired: bool = False) -> float:
    """Unbiased estimate of MMD² with the kernel (γ·xᵀy + 1)³: about 0 for equal distributions, may be < 0.

    ``a`` [n, d], ``b`` [m, d], n, m ≥ 2; γ is 1/d unless given. For unit rows γ = 1 makes it (cosine + 1)³.
    ``paired``: row i of both was made from the same prompt i, so that the two are alike even where the
    distributions are equal; the cross term leaves these pairs out, as the other two leave out self-pairs.
    Bińkowski et al., arXiv 1801.01401, §4; the estimators are Gretton et al. 2012, eq. 3 and (paired) eq. 4.
    Raises ValueError for other shapes, and for pairs of sets of unequal size.
    """
    x, y = rows(a), rows(b)
    n, m = len(x), len(y)
    if n < 2 or m < 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"KID needs two sets of at least 2 rows of equal width, got {x.shape} and {y.shape}")
    if paired and n != m:
        raise ValueError(f"pairs need as many rows on both sides, got {n} and {m}")
    scale = 1.0 / x.shape[1] if gamma is None else gamma

    def kernel(u: Float64, v: Float64) -> Float64:
        return (scale * (u @ v.T) + 1.0) ** 3

    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    across = _off_diagonal(xy) if paired else xy.mean()
    return float(_off_diagonal(xx) + _off_diagonal(yy) - 2.0 * across)


def _off_diagonal(matrix: Float64) -> float:
    """Mean of a square matrix without its diagonal."""
    n = len(matrix)
    return float(matrix.sum() - matrix.trace()) / (n * (n - 1))
