"""What may accompany an object: solids and their fixed colours; knows nothing of classes' shapes.

Accessories are placed in the object's frame; those that stand beside it are turned against its yaw,
so that they stay at its side in the image.
"""

from __future__ import annotations

import math

import numpy as np

from harness.toybox.scenes.parts import FLOOR
from harness.toybox.scenes.solids import Array, box, capsule, ellipsoid, length, rod, sphere

HAT, BAND, BALL, BOX, BALLOON, STRING, SCARF = range(4, 11)
BOX_HEIGHT = 0.5

Part = tuple[int, Array]


def hat(x: Array, y: Array, z: Array, crown: tuple[float, float, float]) -> list[Part]:
    """A black top hat with a red band, sitting at ``crown`` (x, y, radius)."""
    cx, cy, radius = crown
    radial, up = length(x - cx, z), y - cy
    brim = rod(radial, up - 0.02, radius + 0.2, 0.05)
    tube = rod(radial, up - 0.28, radius, 0.28)
    band = rod(radial, up - 0.13, radius + 0.025, 0.09, 0.02)
    return [(HAT, np.minimum(brim, tube)), (BAND, band)]


def beside(side: int, yaw: float, right: float, front: float) -> tuple[float, float]:
    """Place (x, z) in the object's frame of a point seen ``right`` of it and in ``front`` of it."""
    a, b = side * right, front
    return a * math.cos(yaw) - b * math.sin(yaw), a * math.sin(yaw) + b * math.cos(yaw)


def ball(x: Array, y: Array, z: Array, side: int, yaw: float) -> list[Part]:
    """A beach ball on the ground at the object's side."""
    cx, cz = beside(side, yaw, 0.9, 0.62)
    return [(BALL, sphere(x - cx, y - FLOOR - 0.36, z - cz, 0.36))]


def balloon(x: Array, y: Array, z: Array, side: int, yaw: float) -> list[Part]:
    """A balloon on a string, floating at the object's upper side."""
    cx, cz = beside(side, yaw, 1.0, 0.1)
    skin = ellipsoid(x - cx, y - 0.85, z - cz, 0.36, 0.42, 0.36)
    string = capsule(x, y, z, (cx, 0.45, cz), (cx * 0.5, -0.5, cz * 0.5), 0.03)
    return [(BALLOON, skin), (STRING, string)]


def pedestal(x: Array, y: Array, z: Array) -> list[Part]:
    """A cardboard box under the object."""
    half = 0.5 * BOX_HEIGHT
    return [(BOX, box(x, y - FLOOR + half, z, 0.85, half, 0.68, 0.03))]


def scarf(x: Array, y: Array, z: Array, body: Array, neck: tuple[float, float, float]) -> list[Part]:
    """A scarf wound about the object's surface: ``body`` is its distance, ``neck`` is (x, y, reach)."""
    cx, height, reach = neck
    slab = np.maximum(np.abs(y - height) - 0.13, length(x - cx, z) - reach)
    return [(SCARF, np.maximum(body - 0.09, slab))]
