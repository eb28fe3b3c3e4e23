"""Machines and an instrument: car, robot, rocket, guitar.

Signed distance functions of points and four shape parameters; they know nothing of colours or cameras.
"""

from __future__ import annotations

import numpy as np

from harness.toybox.scenes.parts import DETAIL, FLOOR, MAIN, SECOND, Crown, Part, Shape
from harness.toybox.scenes.solids import Array, between, blend, box, capsule, cone, length, mix, rod, sphere

GUITAR = 0.88
"""The size of a guitar beside that of its parts."""


def car(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A car seen from its side: length and place of the cabin, height, radius of the wheels."""
    cabin, shift, high, wheel = between(s, (0.32, 0.6), (-0.25, 0.25), (0.2, 0.34), (0.2, 0.32))
    floor = FLOOR + wheel * 0.8
    body = box(x, y - floor - high, z, 1.0, high, 0.48, 0.14)
    roof = box(x - shift, y - floor - 2 * high - 0.14, z, cabin, 0.28, 0.4, 0.14)
    side = length(np.abs(x) - 0.58, y - FLOOR - wheel)
    wheels = rod(side, np.abs(z) - 0.46, wheel, 0.11)
    return [(MAIN, body), (SECOND, roof), (DETAIL, wheels)]


def robot(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A robot: size of the head, width of the body, lift of the arms, length of the legs."""
    head, wide, lift, leg = between(s, (0.24, 0.4), (0.34, 0.54), (-0.5, 0.45), (0.12, 0.26))
    hip = FLOOR + 2 * leg
    trunk = box(x, y - hip - 0.4, z, wide, 0.4, 0.32, 0.06)
    skull_y = hip + 0.84 + head * 0.75
    skull = box(x, y - skull_y, z, head, head * 0.75, 0.28, 0.07)
    side = np.abs(x)
    legs = box(side - wide * 0.55, y - FLOOR - leg - 0.02, z, 0.13, leg + 0.02, 0.17, 0.04)
    arms = capsule(side, y, z, (wide + 0.06, hip + 0.62, 0.0), (wide + 0.36, hip + 0.62 + lift, 0.06), 0.1)
    eyes = sphere(side - head * 0.45, y - skull_y - 0.03, z - 0.27, 0.085)
    aerial = sphere(x, y - skull_y - head * 0.75 - 0.13, z, 0.1)
    button = box(x, y - hip - 0.42, z - 0.3, 0.16, 0.16, 0.06)
    return [
        (MAIN, np.minimum(trunk, skull)),
        (SECOND, np.minimum(legs, arms)),
        (DETAIL, np.minimum(np.minimum(eyes, aerial), button)),
    ]


def rocket(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A rocket: radius, height, span of the fins, length of the nose."""
    radius, top, span, nose = between(s, (0.26, 0.44), (0.3, 0.6), (0.24, 0.5), (0.3, 0.55))
    start = FLOOR + 0.18
    half = 0.5 * (top - start)
    radial = length(x, z)
    body = rod(radial, y - start - half, radius, half)
    tip = cone(radial, y - top - nose * 0.5, radius, 0.03, nose * 0.5)
    height = FLOOR + 0.36
    reach = radius + span
    fin_x = np.maximum(
        np.abs(z) - 0.07, np.maximum(np.abs(x) - reach, 0.7 * (np.abs(x) - reach + y - height))
    )
    fin_z = np.maximum(
        np.abs(x) - 0.07, np.maximum(np.abs(z) - reach, 0.7 * (np.abs(z) - reach + y - height))
    )
    fins = np.maximum(np.minimum(fin_x, fin_z), FLOOR - y)
    port = sphere(x, y - top + 0.26, z - radius + 0.05, 0.17)
    return [(MAIN, body), (SECOND, fins), (DETAIL, np.minimum(tip, port))]


def guitar(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A guitar standing upright: lower bout, upper bout, waist, length of the neck."""
    x, y, z = x * (1 / GUITAR), (y - FLOOR) * (1 / GUITAR) + FLOOR, z * (1 / GUITAR)
    low, high, waist, neck = between(s, (0.4, 0.6), (0.26, 0.44), (0.5, 0.68), (0.4, 0.62))
    lower = y - (FLOOR + low)
    upper = lower - waist
    plan = blend(length(x, lower) - low, length(x, upper) - high, 0.14)
    body = np.maximum(plan, np.abs(z) - 0.17)
    start = FLOOR + low + waist + high * 0.55
    fret = box(x, y - start - neck * 0.5 - 0.05, z - 0.14, 0.085, neck * 0.5 + 0.3, 0.07, 0.02)
    peg = box(x, y - start - neck - 0.2, z - 0.12, 0.19, 0.17, 0.08, 0.04)
    hole = rod(length(x, lower - waist * 0.5), z - 0.15, 0.17, 0.05, 0.02)
    return [(MAIN, body * GUITAR), (SECOND, fret * GUITAR), (DETAIL, np.minimum(peg, hole) * GUITAR)]


def car_crown(s: Shape) -> Crown:
    """Top of a car's cabin."""
    return mix(-0.25, 0.25, s[1]), FLOOR + 0.8 * mix(0.2, 0.32, s[3]) + 2 * mix(0.2, 0.34, s[2]) + 0.4, 0.34


def robot_neck(s: Shape) -> float:
    """Height at which a robot's head meets its body."""
    return FLOOR + 2 * mix(0.12, 0.26, s[3]) + 0.8


def guitar_crown(s: Shape) -> Crown:
    """Top of a guitar's head."""
    bouts = mix(0.4, 0.6, s[0]) + mix(0.46, 0.6, s[2]) + 0.55 * mix(0.26, 0.44, s[1])
    return 0.0, FLOOR + GUITAR * (bouts + mix(0.22, 0.42, s[3]) + 0.34), 0.22
