"""Cosines between sets of features: fidelity, prompt following, preservation, diversity."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

Features = ArrayLike | torch.Tensor
"""[n, d], one row per picture or text."""

Float64 = NDArray[np.float64]


def rows(features: Features) -> Float64:
    """Return features as a float64 matrix [n, d]; ValueError unless there are two axes."""
    if isinstance(features, torch.Tensor):
        features = features.detach().cpu().to(torch.float64).numpy()
    matrix = np.asarray(features, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"features need two axes [n, d], got shape {matrix.shape}")
    return matrix


def unit(features: Features) -> Float64:
    """Scale each row to length 1 [n, d]; ValueError for a row of zeros, whose direction is undefined."""
    matrix = rows(features)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise ValueError(f"feature row {int(np.argmin(lengths))} has length 0 or NaN: it has no direction")
    return matrix / lengths


def cosine_matrix(a: Features, b: Features) -> Float64:
    """Cosine of every row of ``a`` with every row of ``b``: [n, m] in −1..1."""
    return np.clip(unit(a) @ unit(b).T, -1.0, 1.0)


def paired_cosine(a: Features, b: Features) -> Float64:
    """Cosine of row i of ``a`` with row i of ``b``: [n] in −1..1 (CLIP-T: pictures and their texts)."""
    left, right = unit(a), unit(b)
    if left.shape != right.shape:
        raise ValueError(f"pairs need equal shapes, got {left.shape} and {right.shape}")
    return np.clip((left * right).sum(axis=1), -1.0, 1.0)


def paired_distance(a: Features, b: Features) -> Float64:
    """1 − cosine of row i with row i: [n] in 0..2; exactly 0 where the two rows are equal bit for bit.

    Computed as ‖â − b̂‖² / 2, which does not lose the small distances to cancellation.
    """
    left, right = unit(a), unit(b)
    if left.shape != right.shape:
        raise ValueError(f"pairs need equal shapes, got {left.shape} and {right.shape}")
    return ((left - right) ** 2).sum(axis=1) / 2


def similarity_to_references(
    pictures: Features, references: Features, same: ArrayLike | None = None
) -> Float64:
    """Mean cosine of each picture with all references: [n] in −1..1, higher = closer.

    The mean over pictures is the mean of the full matrix: CLIP-I, DINO (DreamBooth, arXiv 2208.12242, §4.2).
    ``same`` [n, m] is true where a "picture" is that very reference (a photo scored against photos): such
    pairs are left out, which makes the leave-one-out ceiling. A picture with nothing left gets NaN.
    """
    cosines = cosine_matrix(pictures, references)
    if not cosines.size:
        raise ValueError(f"need pictures and references, got {cosines.shape[0]} and {cosines.shape[1]}")
    keep = np.ones(cosines.shape, dtype=bool) if same is None else ~np.asarray(same, dtype=bool)
    if keep.shape != cosines.shape:
        raise ValueError(f"'same' has shape {keep.shape}, the matrix {cosines.shape}")
    count = keep.sum(axis=1)
    total = np.where(keep, cosines, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def preservation(class_pictures: Features, photos: Features) -> float:
    """PRES: mean cosine of plain class pictures and the subject's photos, −1..1, lower = class better kept.

    DreamBooth, arXiv 2208.12242, §4.3.
    """
    return float(similarity_to_references(class_pictures, photos).mean())


def mean_pairwise(distances: ArrayLike) -> float:
    """Mean of the entries above the diagonal of a symmetric matrix [n, n]; ValueError if n < 2."""
    matrix = np.asarray(distances, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise ValueError(f"need a square matrix of at least 2 pictures, got shape {matrix.shape}")
    return float(matrix[np.triu_indices(len(matrix), k=1)].mean())


def diversity(pictures: Features) -> float:
    """Mean 1 − cosine over the pairs of pictures of one prompt: 0..2, higher = more varied."""
    return mean_pairwise(1.0 - cosine_matrix(pictures, pictures))
