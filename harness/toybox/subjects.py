"""The listed subjects: instances whose looks lie off the vocabulary, their photos and their prompts.

Palettes lie at least 15 degrees of hue from every named colour, patterns are of families that the
generator never saw, shapes sit near the ends of their ranges: words cannot describe them.
"""

from __future__ import annotations

import colorsys
import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from harness.toybox.prompts import ToyPrompt, class_prompts, other_prompts, subject_prompts
from harness.toybox.scenes.parts import Shape
from harness.toybox.scenes.shapes import FORMS
from harness.toybox.scenes.world import BACKGROUNDS, RGB, Scene, colour_name, sample_view, uniform

__all__ = [
    "ToySubject",
    "class_prompts",
    "other_prompts",
    "prompts",
    "references",
    "shots",
    "subjects",
]

Split = Literal["dev", "test", "confirmation"]

PHOTOS = 12
SHOTS = 6

TINTS: dict[str, tuple[float, float, float]] = {
    "lime": (82, 0.85, 0.90),
    "olive": (72, 0.80, 0.45),
    "pistachio": (95, 0.38, 0.95),
    "fern": (106, 0.78, 0.42),
    "mint": (150, 0.48, 0.95),
    "jade": (152, 0.95, 0.52),
    "sky": (204, 0.48, 1.00),
    "azure": (204, 0.95, 0.92),
    "steel": (204, 0.70, 0.48),
    "indigo": (249, 0.80, 0.62),
    "lilac": (250, 0.36, 0.98),
    "magenta": (301, 0.90, 0.85),
    "orchid": (303, 0.42, 0.98),
    "plum": (301, 0.72, 0.38),
    "rose": (343, 0.88, 0.86),
}
SPECIFICATIONS = (
    # name, class, split, main, second and detail tint, pattern, its scale, shape
    ("mossy-mug", "mug", "dev", "olive", "orchid", "azure", "zigzag", 1.0, (0.95, 0.05, 0.9, 0.9)),
    ("berry-vase", "vase", "dev", "magenta", "mint", "indigo", "rings", 1.0, (0.95, 0.1, 0.1, 0.9)),
    ("reef-car", "car", "dev", "azure", "lime", "plum", "crosses", 1.0, (0.95, 0.5, 0.95, 0.9)),
    ("pale-cat", "cat", "dev", "lilac", "fern", "magenta", "zigzag", 1.05, (0.95, 0.9, 0.1, 0.9)),
    ("candy-mug", "mug", "test", "orchid", "indigo", "lime", "crosses", 1.0, (0.05, 0.95, 0.1, 0.95)),
    ("harbour-mug", "mug", "test", "steel", "pistachio", "rose", "rings", 0.95, (0.9, 0.9, 0.05, 0.1)),
    ("mint-duck", "duck", "test", "mint", "plum", "magenta", "zigzag", 1.0, (0.95, 0.1, 0.9, 0.1)),
    ("dusk-duck", "duck", "test", "indigo", "lime", "orchid", "crosses", 1.0, (0.05, 0.95, 0.1, 0.95)),
    ("lime-teapot", "teapot", "test", "lime", "indigo", "magenta", "rings", 1.0, (0.95, 0.9, 0.9, 0.9)),
    ("plum-teapot", "teapot", "test", "plum", "mint", "azure", "zigzag", 0.95, (0.05, 0.1, 0.1, 0.1)),
    ("rose-cat", "cat", "test", "rose", "sky", "jade", "crosses", 1.0, (0.1, 0.1, 0.95, 0.1)),
    ("fern-cat", "cat", "test", "fern", "orchid", "lime", "rings", 1.05, (0.9, 0.95, 0.5, 0.9)),
    ("frost-robot", "robot", "test", "sky", "plum", "lime", "crosses", 0.95, (0.95, 0.1, 0.95, 0.9)),
    ("jade-boot", "boot", "test", "jade", "orchid", "lime", "zigzag", 1.0, (0.95, 0.1, 0.95, 0.9)),
    ("iris-cactus", "cactus", "test", "lilac", "steel", "rose", "zigzag", 1.0, (0.95, 0.05, 0.95, 0.9)),
    ("neon-rocket", "rocket", "test", "magenta", "pistachio", "azure", "zigzag", 1.0, (0.95, 0.1, 0.95, 0.1)),
    (
        "lagoon-mushroom",
        "mushroom",
        "test",
        "azure",
        "pistachio",
        "magenta",
        "crosses",
        1.0,
        (0.95, 0.9, 0.9, 0.1),
    ),
    ("meadow-lamp", "lamp", "test", "pistachio", "magenta", "steel", "rings", 1.0, (0.95, 0.05, 0.9, 0.95)),
    ("grape-guitar", "guitar", "test", "indigo", "mint", "rose", "rings", 0.95, (0.95, 0.9, 0.9, 0.1)),
    ("spring-clock", "clock", "test", "pistachio", "indigo", "rose", "zigzag", 1.0, (0.9, 0.95, 0.95, 0.9)),
)


@dataclass(frozen=True)
class ToySubject:
    """An instance: its name, class, split, looks (a scene that shows it) and 12 photos (scenes)."""

    name: str
    category: str
    split: Split
    look: Scene
    photos: tuple[Scene, ...]


def tint(name: str) -> RGB:
    """Return an off-vocabulary colour as RGB in [0, 1]."""
    hue, saturation, value = TINTS[name]
    return tuple(round(c, 4) for c in colorsys.hsv_to_rgb(hue / 360, saturation, value))


def take_photos(look: Scene, rng: np.random.Generator) -> tuple[Scene, ...]:
    """Return 12 photos of an instance, each in a background of its own, the first 6 to shoot from."""
    turn = FORMS[look.category].turn
    places = [str(place) for place in rng.permutation(BACKGROUNDS)[:PHOTOS]]
    return tuple(
        replace(
            look,
            **{
                **sample_view(rng, look.category),
                "background": place,
                "accessory": "none",
                "yaw": uniform(rng, turn - 0.5, turn + 0.5),
            },
        )
        for place in places
    )


def posed(category: str, palette: tuple[RGB, ...], pattern: str, pattern_scale: float, shape: Shape) -> Scene:
    """Show a look by itself: on wood, from the most telling side."""
    return Scene(
        category=category,
        shape=shape,
        palette=palette,
        colours=tuple(colour_name(rgb) for rgb in palette),
        pattern=pattern,
        pattern_scale=pattern_scale,
        background="wood",
        accessory="none",
        yaw=FORMS[category].turn,
        pitch=0.3,
        scale=1.0,
        place=(0.0, 0.0),
        light=-0.4,
        variation=0,
    )


def made(name: str, split: Split, look: Scene) -> ToySubject:
    """Make a subject of a look; its photos are drawn by its name."""
    rng = np.random.default_rng(zlib.crc32(f"photos/{name}".encode()))
    return ToySubject(name, look.category, split, look, take_photos(look, rng))


def build(name, category, split, main, second, detail, pattern, scale, shape) -> ToySubject:
    """Build a subject from its row of the table."""
    palette = tint(main), tint(second), tint(detail)
    return made(name, split, posed(category, palette, pattern, scale, shape))


@cache
def subjects() -> tuple[ToySubject, ...]:
    """Return all 20 subjects: 4 of development, 16 of test."""
    return tuple(build(*row) for row in SPECIFICATIONS)


def shots(subject: ToySubject) -> tuple[Scene, ...]:
    """Return the 6 photos a method may learn from."""
    return subject.photos[:SHOTS]


def references(subject: ToySubject) -> tuple[Scene, ...]:
    """Return the 6 photos to compare with, in other backgrounds than the shots."""
    return subject.photos[SHOTS:]


def prompts(subject: ToySubject) -> tuple[ToyPrompt, ...]:
    """Return the subject's 25 prompts with their ground truth."""
    return subject_prompts(subject.category, subject.name)
