"""Whether a picture repeats a scene: nearer to a training shot than to the same subject elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL.Image import Image, Resampling

from harness.metrics.scores.similarity import Features, Float64, rows

SIDE = 16
"""Pixels of a thumbnail's side: a scene and an object's place are seen, its fine texture is not."""


def thumbnails(images: Sequence[Image]) -> Float64:
    """Reduce images of any size to RGB of SIDE × SIDE pixels, by averaging: [n, 3·SIDE²] in 0..1."""
    small = [each.convert("RGB").resize((SIDE, SIDE), Resampling.BOX) for each in images]
    return np.stack([np.asarray(each, dtype=np.float64).ravel() / 255 for each in small])


def copies(pictures: Features, shots: Features, elsewhere: Features) -> Float64:
    """1.0 for each picture nearer (L2) to one of ``shots`` than to all of ``elsewhere``, else 0.0: [n].

    All are rows [n, d]. Equally near is not nearer. Raises ValueError where there is nothing to compare with.
    """
    return (nearest(pictures, shots) < nearest(pictures, elsewhere)).astype(np.float64)


def nearest(pictures: Features, others: Features) -> Float64:
    """L2 distance of each picture [n, d] to the nearest of the others [m, d]: [n], 0 for an equal row."""
    a, b = rows(pictures), rows(others)
    if not len(b):
        raise ValueError("needs at least one picture to compare with")
    return np.stack([np.linalg.norm(b - row, axis=1).min() for row in a])
