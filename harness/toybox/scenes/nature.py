"""What lives or grows: duck, cat, mushroom, cactus.

Signed distance functions of points and four shape parameters; they know nothing of colours or cameras.
"""

from __future__ import annotations

import numpy as np

from harness.toybox.scenes.parts import DARK, DETAIL, FLOOR, MAIN, SECOND, Crown, Part, Shape
from harness.toybox.scenes.solids import (
    Array,
    between,
    blend,
    capsule,
    cone,
    ellipsoid,
    length,
    mix,
    ring,
    rod,
    sphere,
)


def duck(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A duck looking to the right: neck, plumpness, length of the beak, size of the head."""
    neck, plump, bill, head = between(s, (0.0, 0.42), (0.38, 0.54), (0.16, 0.34), (0.26, 0.38))
    up = y - (FLOOR + plump)
    trunk = ellipsoid(x + 0.1, up, z, 0.74, plump, 0.5)
    tail = capsule(x, up, z, (-0.6, 0.1, 0.0), (-0.94, 0.36, 0.0), 0.2, 0.06)
    top = plump + 0.12 + neck
    throat = capsule(x, up, z, (0.36, 0.1, 0.0), (0.42, top, 0.0), 0.2)
    skull = sphere(x - 0.42, up - top, z, head)
    body = blend(blend(trunk, tail, 0.15), blend(throat, skull, 0.1), 0.12)
    beak = ellipsoid(x - 0.42 - head - bill * 0.5, up - top + 0.06, z, bill, 0.1, 0.17)
    side = np.abs(z)
    wing = ellipsoid(x + 0.16, up - 0.04, side - 0.44, 0.42, 0.24, 0.14)
    eye = sphere(x - 0.42 - head * 0.55, up - top - head * 0.35, side - head * 0.72, 0.075)
    return [(MAIN, body), (SECOND, beak), (DETAIL, wing), (DARK, eye)]


def cat(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A sitting cat: width of the body, size of the head, length of the ears, height of the tail."""
    wide, head, ear, tail = between(s, (0.38, 0.58), (0.32, 0.46), (0.22, 0.46), (-0.35, 0.5))
    trunk = ellipsoid(x, y + 0.42, z, wide, 0.5, 0.46)
    top = 0.08 + head * 0.7
    skull = ellipsoid(x, y - top, z - 0.12, head * 1.1, head * 0.92, head)
    side = np.abs(x)
    ears = capsule(
        side,
        y,
        z,
        (head * 0.62, top + head * 0.5, 0.1),
        (head * 0.86, top + head * 0.6 + ear, 0.1),
        0.19,
        0.03,
    )
    fur = np.minimum(blend(trunk, skull, 0.08), ears)
    paws = ellipsoid(side - 0.2, y + 0.78, z - 0.4, 0.17, 0.13, 0.22)
    curl = np.minimum(
        capsule(x, y, z, (wide - 0.1, -0.72, -0.1), (wide + 0.3, -0.6, -0.05), 0.12),
        capsule(x, y, z, (wide + 0.3, -0.6, -0.05), (wide + 0.36, tail, -0.05), 0.12),
    )
    muzzle = ellipsoid(x, y - top + head * 0.35, z - 0.12 - head * 0.86, 0.16, 0.11, 0.1)
    collar = ring(length(x, z - 0.04), y - 0.0, 0.34, 0.09)
    eyes = sphere(side - head * 0.42, y - top - head * 0.12, z - 0.12 - head * 0.86, 0.075)
    return [
        (MAIN, fur),
        (SECOND, np.minimum(np.minimum(paws, curl), muzzle)),
        (DETAIL, collar),
        (DARK, eyes),
    ]


def mushroom(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A mushroom: radius and height of the cap, radius and height of the stem."""
    wide, high, thick, tall = between(s, (0.55, 0.92), (0.4, 0.8), (0.16, 0.36), (0.6, 0.95))
    radial, brim = length(x, z), y - (FLOOR + tall)
    cap = np.maximum(ellipsoid(x, brim, z, wide, high, wide), -brim)
    stem = cone(radial, y - FLOOR - tall * 0.5, thick * 1.25, thick, tall * 0.5)
    skirt = rod(radial, y - FLOOR - tall * 0.6, thick + 0.12, 0.06, 0.05)
    return [(MAIN, cap), (SECOND, stem), (DETAIL, skirt)]


def cactus(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A potted cactus: radius of the trunk, height of the left and of the right arm, their length."""
    thick, left, right, arm = between(s, (0.2, 0.34), (-0.2, 0.25), (-0.2, 0.25), (0.16, 0.42))
    trunk = capsule(x, y, z, (0.0, -0.5, 0.0), (0.0, 0.55, 0.0), thick)
    out = thick + 0.3
    near = capsule(x, y, z, (-out, left, 0.0), (-out, left + arm, 0.0), 0.15)
    far = capsule(x, y, z, (out, right, 0.0), (out, right + arm, 0.0), 0.15)
    bridge = np.where(x < 0, left, right)
    bars = np.maximum(length(y - bridge, z) - 0.13, np.abs(x) - out)
    plant = np.minimum(np.minimum(trunk, bars * 0.9), np.minimum(near, far))
    radial = length(x, z)
    pot = np.minimum(cone(radial, y + 0.65, 0.36, 0.5, 0.25), rod(radial, y + 0.42, 0.54, 0.08))
    flower = ellipsoid(x, y - 0.58 - thick, z, 0.2, 0.13, 0.2)
    return [(MAIN, plant), (SECOND, pot), (DETAIL, flower)]


def duck_top(s: Shape) -> float:
    """Height of the centre of a duck's head."""
    return FLOOR + 2 * mix(0.38, 0.54, s[1]) + 0.12 + mix(0.0, 0.42, s[0])


def mushroom_crown(s: Shape) -> Crown:
    """Top of a mushroom's cap."""
    return 0.0, FLOOR + mix(0.6, 0.95, s[3]) + 0.94 * mix(0.4, 0.8, s[1]), 0.32
