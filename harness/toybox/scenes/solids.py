"""Signed distance functions of elementary solids; knows nothing of objects or images.

A point set is three float32 arrays ``x, y, z`` of one shape; lengths are world units; a distance is
negative inside. Bounds (never over-estimates beyond the marcher's safety factor) are enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def mix(low: float, high: float, t: float) -> float:
    """Interpolate from ``low`` (t = 0) to ``high`` (t = 1)."""
    return low + (high - low) * t


def between(t: Sequence[float], *ranges: tuple[float, float]) -> list[float]:
    """Interpolate in each range (low, high) by the number of ``t`` in its place."""
    return [mix(low, high, at) for at, (low, high) in zip(t, ranges, strict=True)]


def sphere(x: Array, y: Array, z: Array, radius: float) -> Array:
    """Distance to a sphere at the origin."""
    return np.sqrt(x * x + y * y + z * z) - radius


def ellipsoid(x: Array, y: Array, z: Array, a: float, b: float, c: float) -> Array:
    """Approximate distance to an axis-aligned ellipsoid with half-axes a, b, c (k0 (k0 - 1) / k1)."""
    x, y, z = x * (1 / a), y * (1 / b), z * (1 / c)
    xx, yy, zz = x * x, y * y, z * z
    k0 = np.sqrt(xx + yy + zz)
    k1 = np.sqrt(xx * (1 / a**2) + yy * (1 / b**2) + zz * (1 / c**2)) + 1e-6
    return k0 * (k0 - 1.0) / k1


def box(x: Array, y: Array, z: Array, a: float, b: float, c: float, rounding: float = 0.04) -> Array:
    """Distance to a rounded box with outer half-sizes a, b, c."""
    qx = np.abs(x) - (a - rounding)
    qy = np.abs(y) - (b - rounding)
    qz = np.abs(z) - (c - rounding)
    inside = np.minimum(np.maximum(qx, np.maximum(qy, qz)), 0.0)
    qx, qy, qz = np.maximum(qx, 0.0), np.maximum(qy, 0.0), np.maximum(qz, 0.0)
    return np.sqrt(qx * qx + qy * qy + qz * qz) + inside - rounding


def rod(radial: Array, along: Array, radius: float, half: float, rounding: float = 0.03) -> Array:
    """Distance to a rounded cylinder, from the distance to its axis and the place along it."""
    q = radial - (radius - rounding)
    h = np.abs(along) - (half - rounding)
    inside = np.minimum(np.maximum(q, h), 0.0)
    q, h = np.maximum(q, 0.0), np.maximum(h, 0.0)
    return np.sqrt(q * q + h * h) + inside - rounding


def cone(radial: Array, along: Array, low: float, high: float, half: float) -> Array:
    """Bound on the distance to a truncated cone: radius ``low`` at -half, ``high`` at +half."""
    slope = (high - low) / (2 * half)
    side = (radial - (0.5 * (low + high) + slope * along)) * (1 / np.sqrt(1 + slope * slope))
    return np.maximum(side, np.abs(along) - half)


def ring(radial: Array, along: Array, radius: float, thickness: float) -> Array:
    """Distance to a torus, from the distance to its axis and the place along it."""
    q = radial - radius
    return np.sqrt(q * q + along * along) - thickness


def capsule(
    x: Array, y: Array, z: Array, start, end, radius: float, end_radius: float | None = None
) -> Array:
    """Distance to a thick segment between two points, its radius optionally changing linearly."""
    (ax, ay, az), (bx, by, bz) = start, end
    dx, dy, dz = bx - ax, by - ay, bz - az
    px, py, pz = x - ax, y - ay, z - az
    t = np.clip((px * dx + py * dy + pz * dz) * (1 / (dx * dx + dy * dy + dz * dz)), 0.0, 1.0)
    px, py, pz = px - t * dx, py - t * dy, pz - t * dz
    thick = radius if end_radius is None else radius + (end_radius - radius) * t
    return np.sqrt(px * px + py * py + pz * pz) - thick


def length(a: Array, b: Array) -> Array:
    """Distance to an axis, from the two coordinates across it."""
    return np.sqrt(a * a + b * b)


def blend(first: Array, second: Array, reach: float) -> Array:
    """Union of two solids whose seam is rounded over ``reach``."""
    h = np.maximum(reach - np.abs(first - second), 0.0)
    return np.minimum(first, second) - h * h * (0.25 / reach)
