"""The classes of the world as signed distance functions; knows nothing of colours or cameras.

Every object stands on y = -0.9, faces +z, is about two units in size (inside the sphere of radius
``BOUND`` about (0, ``CENTRE``, 0)) and has four shape parameters in [0, 1]. A form returns its parts
as (material, distance) pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

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

MAIN, SECOND, DETAIL, DARK = 0, 1, 2, 3
FLOOR = -0.9
SHAPE_PARAMETERS = 4
CENTRE, BOUND = 0.05, 1.44
GUITAR = 0.88

Part = tuple[int, Array]
Shape = tuple[float, ...]
Crown = tuple[float, float, float]


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


def mushroom(x: Array, y: Array, z: Array, s: Shape) -> list[Part]:
    """A mushroom: radius and height of the cap, radius and height of the stem."""
    wide, high, thick, tall = between(s, (0.55, 0.92), (0.4, 0.8), (0.16, 0.36), (0.6, 0.95))
    radial, brim = length(x, z), y - (FLOOR + tall)
    cap = np.maximum(ellipsoid(x, brim, z, wide, high, wide), -brim)
    stem = cone(radial, y - FLOOR - tall * 0.5, thick * 1.25, thick, tall * 0.5)
    skirt = rod(radial, y - FLOOR - tall * 0.6, thick + 0.12, 0.06, 0.05)
    return [(MAIN, cap), (SECOND, stem), (DETAIL, skirt)]


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


def mug_top(s: Shape) -> float:
    """Height of a mug's rim."""
    return FLOOR + 2 * mix(0.5, 0.8, s[1])


def teapot_crown(s: Shape) -> Crown:
    """Top of a teapot's lid."""
    return 0.0, FLOOR + 2 * mix(0.42, 0.68, s[0]) + 0.08, 0.36


def chair_crown(s: Shape) -> Crown:
    """Top of a chair's back."""
    return 0.0, mix(-0.35, -0.08, s[2]) + 2 * mix(0.32, 0.56, s[1]), 0.3


def car_crown(s: Shape) -> Crown:
    """Top of a car's cabin."""
    return mix(-0.25, 0.25, s[1]), FLOOR + 0.8 * mix(0.2, 0.32, s[3]) + 2 * mix(0.2, 0.34, s[2]) + 0.4, 0.34


def robot_neck(s: Shape) -> float:
    """Height at which a robot's head meets its body."""
    return FLOOR + 2 * mix(0.12, 0.26, s[3]) + 0.8


def duck_top(s: Shape) -> float:
    """Height of the centre of a duck's head."""
    return FLOOR + 2 * mix(0.38, 0.54, s[1]) + 0.12 + mix(0.0, 0.42, s[0])


def guitar_crown(s: Shape) -> Crown:
    """Top of a guitar's head."""
    bouts = mix(0.4, 0.6, s[0]) + mix(0.46, 0.6, s[2]) + 0.55 * mix(0.26, 0.44, s[1])
    return 0.0, FLOOR + GUITAR * (bouts + mix(0.22, 0.42, s[3]) + 0.34), 0.22


def mushroom_crown(s: Shape) -> Crown:
    """Top of a mushroom's cap."""
    return 0.0, FLOOR + mix(0.6, 0.95, s[3]) + 0.94 * mix(0.4, 0.8, s[1]), 0.32


@dataclass(frozen=True)
class Form:
    """A class of objects: its distance function, the words for its parts and where things go on it.

    ``crown`` maps shape parameters to (x, y, radius) of the place for a hat; ``scarf`` to the height
    at which a scarf goes round, no farther than ``reach`` from the crown's axis; ``turn`` is the yaw,
    in radians, of its most telling view.
    """

    parts: Callable[[Array, Array, Array, Shape], list[Part]]
    second: str
    detail: str
    crown: Callable[[Shape], Crown]
    scarf: Callable[[Shape], float]
    turn: float = 0.0
    live: bool = False
    reach: float = 1.4

    def neck(self, s: Shape) -> Crown:
        """Return (x, y, reach) of the place for a scarf."""
        return self.crown(s)[0], self.scarf(s), self.reach


FORMS: dict[str, Form] = {
    "mug": Form(mug, "handle", "rim", lambda s: (0.0, mug_top(s), 0.4), lambda s: -0.42, -0.3),
    "teapot": Form(teapot, "handle", "lid", teapot_crown, lambda s: -0.5, -0.3),
    "vase": Form(vase, "rim", "base", lambda s: (0.0, mix(0.55, 0.95, s[3]) + 0.02, 0.3), lambda s: 0.12),
    "lamp": Form(lamp, "stand", "base", lambda s: (0.0, 0.93, 0.32), lambda s: 0.5),
    "chair": Form(chair, "legs", "cushion", chair_crown, lambda s: chair_crown(s)[1] - 0.3, 0.5),
    "car": Form(car, "roof", "wheels", car_crown, lambda s: car_crown(s)[1] - 0.14, -0.35),
    "robot": Form(
        robot,
        "arms",
        "eyes",
        lambda s: (0.0, robot_neck(s) + 0.02 + 1.5 * mix(0.24, 0.4, s[0]), 0.28),
        lambda s: robot_neck(s) - 0.08,
    ),
    "duck": Form(
        duck,
        "beak",
        "wings",
        lambda s: (0.42, duck_top(s) - 0.02 + 0.92 * mix(0.26, 0.38, s[3]), 0.26),
        lambda s: duck_top(s) - 0.2 - 0.45 * mix(0.0, 0.42, s[0]),
        -0.45,
        True,
        0.44,
    ),
    "boot": Form(
        boot,
        "sole",
        "cuff",
        lambda s: (-0.3, mix(0.25, 0.85, s[0]) + 0.1, 0.3),
        lambda s: mix(-0.1, 0.4, s[0]),
        -0.3,
    ),
    "guitar": Form(guitar, "neck", "head", guitar_crown, lambda s: -0.3),
    "mushroom": Form(mushroom, "stem", "ring", mushroom_crown, lambda s: -0.62),
    "rocket": Form(
        rocket,
        "fins",
        "nose",
        lambda s: (0.0, mix(0.3, 0.6, s[1]) + 0.75 * mix(0.3, 0.55, s[3]), 0.22),
        lambda s: -0.2,
    ),
    "cactus": Form(
        cactus, "pot", "flower", lambda s: (0.0, 0.53 + mix(0.2, 0.34, s[0]), 0.27), lambda s: -0.15
    ),
    "clock": Form(
        clock,
        "face",
        "bells",
        lambda s: (0.0, FLOOR + 0.1 + 2 * mix(0.55, 0.72, s[0]), 0.32),
        lambda s: -0.55,
    ),
    "cat": Form(
        cat,
        "tail",
        "collar",
        lambda s: (0.0, 0.08 + 1.55 * mix(0.32, 0.46, s[1]), 0.3),
        lambda s: 0.0,
        0.0,
        True,
    ),
}


def object_parts(category: str, x: Array, y: Array, z: Array, shape: Shape) -> list[Part]:
    """Evaluate one object: (material, distance) of each part at the given points.

    Raises ``ValueError`` for an unknown category or a wrong number of shape parameters.
    """
    if category not in FORMS:
        raise ValueError(f"unknown category {category!r}; known: {', '.join(FORMS)}")
    if len(shape) != SHAPE_PARAMETERS:
        raise ValueError(f"{category} takes {SHAPE_PARAMETERS} shape parameters, got {len(shape)}")
    return FORMS[category].parts(x, y, z, shape)
