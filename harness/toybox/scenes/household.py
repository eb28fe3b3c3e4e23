"""Things of a household: mug, teapot, vase, lamp, chair, clock, boot.

Signed distance functions of points and four shape parameters; they know nothing of colours or cameras.
"""

from __future__ import annotations

import numpy as np

from harness.toybox.scenes.parts import DETAIL, FLOOR, MAIN, SECOND, Crown, Part, Shape
from harness.toybox.scenes.solids import (
    Array,
    between,
    blend,
    box,
    capsule,
    cone,
    ellipsoid,
    length,
    mix,
    ring,
    rod,
    sphere,
)


def mug(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A hollow cup: radius, height, taper, size of the handle."""
    radius, half, taper, loop = between(s, (0.42, 0.64), (0.5, 0.8), (-0.2, 0.25), (0.24, 0.42))
    radial, up = length(x, z), y - (FLOOR + half)
    low, high = radius * (1 - taper), radius * (1 + taper)
    body = np.maximum(
        cone(radial, up, low, high, half), -cone(radial, up - 0.15, low - 0.09, high - 0.08, half)
    )
    handle = ring(length(x - radius, up), z, loop, 0.095)
    handle = np.maximum(handle, 0.5 * (radius * 0.8 - x))
    rim = ring(radial, up - half, high - 0.04, 0.06)
    return [(MAIN, body), (SECOND, handle), (DETAIL, rim)]


def teapot(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A pot: height of the belly, rise of the spout, size of the handle, size of the lid."""
    high, rise, loop, lid = between(s, (0.42, 0.68), (0.0, 0.5), (0.24, 0.38), (0.1, 0.22))
    up = y - (FLOOR + high)
    belly = ellipsoid(x, up, z, 0.66, high, 0.66)
    spout = capsule(x, up, z, (-0.5, -0.12, 0.0), (-0.98, rise, 0.0), 0.17, 0.085)
    handle = ring(length(x - 0.66, up - 0.04), z, loop, 0.09)
    radial = length(x, z)
    cap = ellipsoid(x, up - high * 0.86, z, 0.36, 0.16, 0.36)
    knob = sphere(x, up - high - 0.08 - lid * 0.6, z, lid)
    foot = rod(radial, y - FLOOR - 0.06, 0.36, 0.06)
    return [
        (MAIN, np.minimum(belly, foot)),
        (SECOND, np.minimum(spout, handle)),
        (DETAIL, np.minimum(cap, knob)),
    ]


def vase(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A turned vessel: radius and height of the belly, width of the neck, height."""
    belly, centre, neck, top = between(s, (0.42, 0.7), (-0.5, 0.1), (0.16, 0.34), (0.55, 0.95))
    radial = length(x, z)
    bump = (y - centre) * (1 / 0.42)
    profile = neck + (belly - neck) * np.exp(-bump * bump)
    middle, half = 0.5 * (FLOOR + top), 0.5 * (top - FLOOR)
    body = np.maximum((radial - profile) * 0.72, np.abs(y - middle) - half)
    body = np.maximum(body, -np.maximum(radial - (neck - 0.05), top - 0.4 - y))
    rim = ring(radial, y - top, neck + 0.03, 0.09)
    base = rod(radial, y - FLOOR - 0.08, neck + 0.16, 0.08)
    return [(MAIN, body), (SECOND, rim), (DETAIL, base)]


def lamp(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A table lamp: lower and upper radius of the shade, its height, bulge of the stand."""
    low, high, half, bulge = between(s, (0.55, 0.85), (0.2, 0.5), (0.3, 0.46), (0.1, 0.27))
    radial, up = length(x, z), y - (0.95 - half)
    shade = np.maximum(
        cone(radial, up, low, high, half), -cone(radial, up + 0.06, low - 0.06, high - 0.06, half)
    )
    stand = np.minimum(rod(radial, y - FLOOR - 0.6, 0.09, 0.6), ellipsoid(x, y + 0.42, z, bulge, 0.26, bulge))
    base = rod(radial, y - FLOOR - 0.08, 0.42, 0.08)
    return [(MAIN, shade), (SECOND, stand), (DETAIL, base)]


def chair(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A chair: width, height of the back, height of the seat, thickness of the legs."""
    wide, back, seat, leg = between(s, (0.45, 0.66), (0.32, 0.56), (-0.35, -0.08), (0.06, 0.12))
    board = box(x, y - seat, z, wide, 0.09, 0.55)
    rest = box(x, y - seat - back, z + 0.48, wide, back + 0.06, 0.09)
    half = 0.5 * (seat - FLOOR)
    legs = box(np.abs(x) - (wide - leg), y - FLOOR - half, np.abs(z) - (0.55 - leg), leg, half, leg, 0.02)
    cushion = box(x, y - seat - 0.15, z - 0.06, wide - 0.1, 0.09, 0.4, 0.08)
    return [(MAIN, np.minimum(board, rest)), (SECOND, legs), (DETAIL, cushion)]


def clock(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """An alarm clock: size, roundness of the case, size of the bells, direction of the hands."""
    size, roundness, bell, turn = between(s, (0.55, 0.72), (0.12, 1.0), (0.14, 0.28), (-1.3, 1.3))
    up = y - (FLOOR + 0.12 + size)
    corner = size * roundness
    qx, qy = np.maximum(np.abs(x) - (size - corner), 0.0), np.maximum(np.abs(up) - (size - corner), 0.0)
    plan = np.maximum(length(qx, qy) - corner, np.maximum(np.abs(x), np.abs(up)) - size)
    case = np.maximum(plan, np.abs(z) - 0.27)
    face = rod(length(x, up), z - 0.26, size * 0.66, 0.05, 0.02)
    long = size * 0.52
    tip = (long * np.sin(turn), long * np.cos(turn), 0.34)
    hands = np.minimum(
        capsule(x, up, z, (0.0, 0.0, 0.34), tip, 0.055),
        capsule(x, up, z, (0.0, 0.0, 0.34), (-0.6 * tip[1], 0.6 * tip[0], 0.34), 0.055),
    )
    side = np.abs(x)
    bells = sphere(side - size * 0.62, up - size - 0.04, z, bell)
    feet = capsule(side, up, z, (size * 0.5, -size * 0.9, 0.0), (size * 0.66, -size - 0.06, 0.0), 0.08)
    return [(MAIN, case), (SECOND, face), (DETAIL, np.minimum(np.minimum(hands, bells), feet))]


def boot(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A boot pointing right: height and width of the shaft, length of the toe, height of the sole."""
    top, wide, toe, sole = between(s, (0.25, 0.85), (0.27, 0.4), (0.45, 0.85), (0.09, 0.2))
    ground = FLOOR + 2 * sole
    half = 0.5 * (top - ground)
    shaft = rod(length(x + 0.3, z), y - ground - half, wide, half, 0.05)
    foot = capsule(x, y, z, (-0.3, ground + 0.24, 0.0), (toe - 0.24, ground + 0.16, 0.0), 0.3, 0.24)
    upper = np.maximum(blend(shaft, foot, 0.2), ground - 0.02 - y)
    sole_part = box(x - 0.5 * toe + 0.3, y - FLOOR - sole, z, 0.5 * toe + 0.34, sole, 0.33, 0.08)
    cuff = rod(length(x + 0.3, z), y - top, wide + 0.06, 0.11, 0.05)
    return [(MAIN, upper), (SECOND, sole_part), (DETAIL, cuff)]


def mug_top(s: Shape) -> float:
    """Height of a mug's rim."""
    return FLOOR + 2 * mix(0.5, 0.8, s[1])


def teapot_crown(s: Shape) -> Crown:
    """Top of a teapot's lid."""
    return 0.0, FLOOR + 2 * mix(0.42, 0.68, s[0]) + 0.08, 0.36


def chair_crown(s: Shape) -> Crown:
    """Top of a chair's back."""
    return 0.0, mix(-0.35, -0.08, s[2]) + 2 * mix(0.32, 0.56, s[1]), 0.3
