"""The classes of the world: for each its distance function, the words for its parts, where things go on it.

Knows nothing of colours or cameras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.toybox.scenes.household import (
    boot,
    chair,
    chair_crown,
    clock,
    lamp,
    mug,
    mug_top,
    teapot,
    teapot_crown,
    vase,
)
from harness.toybox.scenes.machines import car, car_crown, guitar, guitar_crown, robot, robot_neck, rocket
from harness.toybox.scenes.nature import cactus, cat, duck, duck_top, mushroom, mushroom_crown
from harness.toybox.scenes.parts import FLOOR, SHAPE_PARAMETERS, Crown, Part, Shape
from harness.toybox.scenes.solids import Array, mix


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
