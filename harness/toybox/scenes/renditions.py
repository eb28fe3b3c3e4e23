"""Near misses: scenes of another thing that shares most of its looks with a given one; knows no pixels.

Each rendition changes one property and keeps the rest, so that a distance between images can be asked which
properties it sees: the class at equal palette and pattern, the pattern family, the shape, which material has
which colour, or the hue by some degrees.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from harness.toybox.scenes.patterns import FAMILIES
from harness.toybox.scenes.shapes import FORMS
from harness.toybox.scenes.world import BACKGROUNDS, CLASSES, RGB, Scene, colour_name, pick, uniform

TURNS = (15.0, 30.0)
"""Degrees of hue between which :func:`turned` draws."""
FAR_SHAPE = 0.45
"""Least change of at least two shape parameters by :func:`reshaped`."""


def other(rng: np.random.Generator, known: tuple[str, ...], than: str) -> str:
    """Draw one of ``known`` that is not ``than``."""
    return pick(rng, [each for each in known if each != than])


def reclassed(scene: Scene, rng: np.random.Generator) -> Scene:
    """Another class in the same colours and pattern."""
    category = other(rng, CLASSES, scene.category)
    turn = FORMS[category].turn - FORMS[scene.category].turn
    return replace(scene, category=category, yaw=round(scene.yaw + turn, 4))


def repatterned(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same thing with a pattern of another family."""
    return replace(scene, pattern=other(rng, tuple(FAMILIES), scene.pattern))


def reshaped(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same class, colours and pattern in another shape: every parameter moved by half its range."""
    shape = tuple(
        round((value + float(rng.uniform(FAR_SHAPE, 1 - FAR_SHAPE))) % 1.0, 4) for value in scene.shape
    )
    return replace(scene, shape=shape)


def swapped(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same thing with the colours of its main material and of another one exchanged."""
    order = (1, 0, 2) if rng.random() < 0.7 else (2, 1, 0)
    return recoloured(scene, tuple(scene.palette[i] for i in order))


def turned(scene: Scene, rng: np.random.Generator, degrees: float | None = None) -> Scene:
    """The same thing with every hue turned by ``degrees``, by default 15 to 30 either way."""
    if degrees is None:
        degrees = float(rng.uniform(*TURNS)) * (1 if rng.random() < 0.5 else -1)
    return recoloured(scene, tuple(turn_hue(rgb, degrees) for rgb in scene.palette))


def turn_hue(rgb: RGB, degrees: float) -> RGB:
    """Turn a colour's hue, keeping saturation and value."""
    h, s, v = colorsys.rgb_to_hsv(*rgb)
    return tuple(round(c, 4) for c in colorsys.hsv_to_rgb((h + degrees / 360) % 1.0, s, v))


def recoloured(scene: Scene, palette: tuple[RGB, ...]) -> Scene:
    """The same thing in other colours, named where a name fits."""
    return replace(scene, palette=palette, colours=tuple(colour_name(rgb) for rgb in palette))


RENDITIONS: dict[str, Callable[[Scene, np.random.Generator], Scene]] = {
    "class": reclassed,
    "pattern": repatterned,
    "shape": reshaped,
    "materials": swapped,
    "hue": turned,
}
"""What a rendition changes → how it is made."""


def strong_view(scene: Scene, rng: np.random.Generator) -> Scene:
    """The same thing from farther around, nearer or farther, under light from farther aside."""
    turn = FORMS[scene.category].turn
    return replace(
        scene,
        background=other(rng, BACKGROUNDS, scene.background),
        yaw=uniform(rng, turn - 0.8, turn + 0.8),
        pitch=uniform(rng, 0.08, 0.6),
        scale=uniform(rng, 0.8, 1.2),
        place=(uniform(rng, -0.16, 0.16), uniform(rng, -0.1, 0.08)),
        light=uniform(rng, -1.5, 1.5),
        variation=int(rng.integers(2**31)),
        accessory=pick(rng, ("hat", "ball", "box", "balloon", "scarf")) if rng.random() < 0.35 else "none",
    )
