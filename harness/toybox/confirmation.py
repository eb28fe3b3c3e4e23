"""Subjects without end, drawn by rule: for confirming what was found on the others. Nothing is tuned on them.

As the listed ones they lie off the vocabulary: words cannot describe them. Knows nothing of pixels.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from harness.toybox.scenes.parts import SHAPE_PARAMETERS, Shape
from harness.toybox.scenes.patterns import HELDOUT_PATTERNS
from harness.toybox.scenes.world import CLASSES, COLOURS, RGB, Scene, colour_name, hue, lab, pick, uniform
from harness.toybox.subjects import TINTS, ToySubject, made, posed, subjects, tint

SEED = 20260900
COUNT = 32
"""How many there are unless more are asked for."""

MOST = 1000
"""Up to which number a name is looked up: each subject must be unlike all before it, so time grows."""

HUE_GAP = 15
"""Least angle in degrees between a subject's colour and any named one that has a hue."""
COLOUR_GAP = 40
"""Least distance in L*a*b* between two materials of a subject."""
LOOK_GAP = 40
"""Least mean distance in L*a*b* between the materials of two subjects, as far as shape and pattern agree."""
PATIENCE = 500
"""Draws in vain after which LOOK_GAP gives way by a tenth, so that the rule has no end."""
SHAPE_ENDS = (0.03, 0.1)
"""How near to an end of its range a shape parameter lies."""
SCALES = (0.95, 1.05)


def confirmation(count: int = COUNT) -> tuple[ToySubject, ...]:
    """Return the first ``count`` subjects of the rule; a larger count only adds. Classes come in turn."""
    return tuple(_nth(number) for number in range(count))


def named(name: str) -> ToySubject | None:
    """Return the subject of that name, whose last part is its number; None where the rule gives none."""
    words, _, number = name.rpartition("-")
    if not number.isdecimal() or not 1 <= int(number) <= MOST:
        return None
    if words.rpartition("-")[2] != _category(int(number) - 1):
        return None
    subject = _nth(int(number) - 1)
    return subject if subject.name == name else None


@cache
def _nth(number: int) -> ToySubject:
    """The subject of a number, from 0: the first draw that is like none before it nor any listed one."""
    rng = np.random.default_rng([SEED, number])
    category = _category(number)
    before = [*subjects(), *confirmation(number)]
    look = _unlike(rng, category, [each.look for each in before])
    name = f"{_nearest_tint(look.palette[0])}-{category}-{number + 1:02d}"
    return made(name, "confirmation", look)


def _category(number: int) -> str:
    order = np.random.default_rng([SEED, number // len(CLASSES), 1]).permutation(CLASSES)
    return str(order[number % len(CLASSES)])


def _unlike(rng: np.random.Generator, category: str, looks: Sequence[Scene]) -> Scene:
    for drawn, look in enumerate(_looks(rng, category)):
        asked = LOOK_GAP * 0.9 ** (drawn // PATIENCE)
        if all(look_distance(look, other) >= asked for other in looks):
            return look
    raise AssertionError("draws have no end")


def _looks(rng: np.random.Generator, category: str) -> Iterator[Scene]:
    while True:
        palette = draw_palette(rng)
        pattern, scale = pick(rng, HELDOUT_PATTERNS), uniform(rng, *SCALES)
        yield posed(category, palette, pattern, scale, draw_shape(rng))


def draw_palette(rng: np.random.Generator) -> tuple[RGB, ...]:
    """Draw three colours that no name fits, well apart from each other."""
    palette: list[RGB] = []
    while len(palette) < 3:
        rgb = draw_colour(rng)
        if all(np.linalg.norm(lab(rgb) - lab(other)) >= COLOUR_GAP for other in palette):
            palette.append(rgb)
    return tuple(palette)


def draw_colour(rng: np.random.Generator) -> RGB:
    """Draw a colour that no name fits, of a hue away from every named one."""
    while True:
        hsv = rng.uniform(0, 1), rng.uniform(0.36, 0.95), rng.uniform(0.38, 1)
        rgb = tuple(round(float(c), 4) for c in colorsys.hsv_to_rgb(*hsv))
        if colour_name(rgb) is None and min(_hue_gap(rgb, named) for named in _HUED) >= HUE_GAP:
            return rgb


_HUED = [rgb for rgb in COLOURS.values() if colorsys.rgb_to_hsv(*rgb)[1] > 0.1]


def _hue_gap(first: RGB, second: RGB) -> float:
    angle = abs(hue(first) - hue(second)) % 360
    return min(angle, 360 - angle)


def draw_shape(rng: np.random.Generator) -> Shape:
    """Draw shape parameters, each near one end of its range."""
    near = [uniform(rng, *SHAPE_ENDS) for _ in range(SHAPE_PARAMETERS)]
    return tuple(round(1 - value, 4) if rng.random() < 0.5 else value for value in near)


def look_distance(first: Scene, second: Scene) -> float:
    """How unlike two looks are: mean distance of their materials in L*a*b*, and more for another make.

    Another class counts 25 and another pattern 10; another shape up to 25, by the mean difference of its
    parameters, within a class.
    """
    pairs = zip(first.palette, second.palette, strict=True)
    colours = float(np.mean([np.linalg.norm(lab(a) - lab(b)) for a, b in pairs]))
    pattern = 10.0 * (first.pattern != second.pattern)
    if first.category != second.category:
        return colours + pattern + 25.0
    shape = float(np.mean(np.abs(np.subtract(first.shape, second.shape))))
    return colours + pattern + 25.0 * shape


def _nearest_tint(rgb: RGB) -> str:
    return min(TINTS, key=lambda name: float(np.linalg.norm(lab(rgb) - lab(tint(name)))))
