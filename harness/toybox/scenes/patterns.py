"""Surface patterns: the weight of the second colour at points of an object's main material."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.toybox.scenes.solids import Array

PATTERNS = ("plain", "striped", "dotted", "checkered")
HELDOUT_PATTERNS = ("zigzag", "rings", "crosses")


def soft(distance: Array, width: float) -> Array:
    """1 inside (negative distance), 0 outside, linear over ``width``."""
    return np.clip(0.5 - distance / width, 0.0, 1.0)


def wrap(value: Array) -> Array:
    """Signed distance, in periods, to the nearest whole number: in [-1/2, 1/2]."""
    return value - np.round(value)


def plain(a: Array, b: Array) -> Array:
    """No pattern."""
    return np.zeros_like(a)


def striped(a: Array, b: Array) -> Array:
    """Level stripes."""
    return soft(np.abs(wrap(b / 0.42)) - 0.175, 0.16)


def dotted(a: Array, b: Array) -> Array:
    """Round dots on a staggered lattice."""
    a, b = a / 0.56, b / 0.56
    first = np.hypot(wrap(a), wrap(b))
    second = np.hypot(wrap(a + 0.5), wrap(b + 0.5))
    return soft(np.minimum(first, second) - 0.215, 0.12)


def checkered(a: Array, b: Array) -> Array:
    """Squares on a staggered lattice, the first colour keeping the larger part."""
    a, b = a / 0.6, b / 0.6
    first = np.maximum(np.abs(wrap(a)), np.abs(wrap(b)))
    second = np.maximum(np.abs(wrap(a + 0.5)), np.abs(wrap(b + 0.5)))
    return soft(np.minimum(first, second) - 0.215, 0.1)


def zigzag(a: Array, b: Array) -> Array:
    """Stripes that go up and down."""
    tooth = np.abs(wrap(a / 0.6)) * 0.62
    return soft(np.abs(wrap((b + tooth) / 0.52)) - 0.2, 0.16)


def rings(a: Array, b: Array) -> Array:
    """Concentric circles about a point of the object's front."""
    return soft(np.abs(wrap(np.hypot(a, b - 0.7) / 0.42)) - 0.2, 0.16)


def crosses(a: Array, b: Array) -> Array:
    """Upright crosses on a square lattice."""
    a, b = np.abs(wrap(a / 0.66 + 0.5)), np.abs(wrap(b / 0.66 + 0.5))
    upright = np.maximum(a - 0.11, b - 0.33)
    level = np.maximum(b - 0.11, a - 0.33)
    return soft(np.minimum(upright, level), 0.1)


FAMILIES: dict[str, Callable[[Array, Array], Array]] = {
    "plain": plain,
    "striped": striped,
    "dotted": dotted,
    "checkered": checkered,
    "zigzag": zigzag,
    "rings": rings,
    "crosses": crosses,
}


def pattern_weight(name: str, points: tuple[Array, ...], normals: tuple[Array, ...], scale: float) -> Array:
    """Return the weight in [0, 1] of the second colour.

    The pattern is laid on the face of a cube that the normal looks at.

    ``points`` and ``normals`` are (x, y, z) arrays in the object's frame; ``scale`` stretches the
    pattern; y is measured from the ground. Raises ``ValueError`` for an unknown name.
    """
    if name not in FAMILIES:
        raise ValueError(f"unknown pattern {name!r}; known: {', '.join(FAMILIES)}")
    x, y, z = points
    nx, ny, nz = (np.abs(n) for n in normals)
    top = ny > 0.8
    a = np.where(top, x, np.where(nx > 1.1 * nz, z, x)) / scale
    b = np.where(top, z, y) / scale
    return FAMILIES[name](a, b)
