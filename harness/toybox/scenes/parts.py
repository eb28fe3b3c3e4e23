"""What an object of the world is made of: parts of some material, inside one sphere, on one floor.

Every object stands on y = FLOOR, faces +z, is about two units in size (inside the sphere of radius ``BOUND``
about (0, ``CENTRE``, 0)) and has four shape parameters in [0, 1].
"""

from __future__ import annotations

from harness.toybox.scenes.solids import Array

MAIN, SECOND, DETAIL, DARK = 0, 1, 2, 3
"""Materials."""
FLOOR = -0.9
SHAPE_PARAMETERS = 4
CENTRE, BOUND = 0.05, 1.44

Part = tuple[int, Array]
"""A material, and the distance to the surface at every point."""
Shape = tuple[float, ...]
Crown = tuple[float, float, float]
"""The place for a hat: x, y and radius."""
