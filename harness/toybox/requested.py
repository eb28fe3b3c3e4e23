"""What a prompt asks of a subject, as a scene: the answer that is right in every attribute.

A background is the scene's background and an accessory stands with the object; what the prompt does not speak
of is drawn as for the subject's photos. A colour is asked of the *whole object*: see :func:`recoloured`.
Knows nothing of pixels, prompts' texts or networks. What changes a scene here changes what ``real_asked``
shows: raise the version in ``baselines/real_asked.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from harness.toybox.scenes.shapes import FORMS
from harness.toybox.scenes.world import (
    ACCESSORIES,
    COLOURS,
    RGB,
    Scene,
    lab,
    nearest_colour,
    pick,
    sample_view,
    uniform,
)

ELSEWHERE = 200
"""How many other scenes of a subject there are to compare an image with."""
LEAST_CONTRAST = 12.0
"""By how much, in L*, a shade differs at least from the colour, so that a pattern stays visible."""


def requested(look: Scene, asked: Mapping[str, str], rng: np.random.Generator) -> Scene:
    """Return a scene of the object that shows what is asked: background, accessory, colour; "none" unasked.

    View, light and an unasked background are drawn from ``rng``. Raises ``ValueError`` for a class that is
    not the object's, and for an attribute that no scene can show.
    """
    if unknown := set(asked) - {"class", "background", "accessory", "colour"}:
        raise ValueError(f"a scene cannot show {', '.join(sorted(unknown))}")
    if asked.get("class", look.category) != look.category:
        raise ValueError(f"a {look.category} cannot be a {asked['class']}")
    scene = replace(another_photo(look, rng), accessory=asked.get("accessory", "none"))
    if "background" in asked:
        scene = replace(scene, background=asked["background"])
    return recoloured(scene, asked["colour"]) if "colour" in asked else scene


def elsewhere(look: Scene, rng: np.random.Generator, count: int = ELSEWHERE) -> tuple[Scene, ...]:
    """Return other scenes of an object: any background, view and light, an accessory in half of them."""
    photos = [another_photo(look, rng) for _ in range(count)]
    return tuple(
        replace(photo, accessory=pick(rng, ACCESSORIES[1:]) if number % 2 else "none")
        for number, photo in enumerate(photos)
    )


def another_photo(look: Scene, rng: np.random.Generator) -> Scene:
    """Draw background, view and light as for a subject's photos, without an accessory."""
    turn = FORMS[look.category].turn
    view = {**sample_view(rng, look.category), "yaw": uniform(rng, turn - 0.5, turn + 0.5)}
    return replace(look, **{**view, "accessory": "none"})


def recoloured(scene: Scene, colour: str) -> Scene:
    """Return the scene with its whole object in a named colour, the pattern still to be seen.

    The main material takes the colour itself. The second and the detail material take shades of it, darker
    by as much as their lightness (L*) differed from the main material's, at least LEAST_CONTRAST, as far as
    the shade is nearer to the colour's name than to any other. Shape and pattern stay. Raises ``ValueError``
    for a colour without a name.
    """
    if colour not in COLOURS:
        raise ValueError(f"unknown colour {colour!r}; known: {', '.join(COLOURS)}")
    main, *others = (lab(rgb)[0] for rgb in scene.palette)
    shades = [shade_of(colour, max(abs(other - main), LEAST_CONTRAST)) for other in others]
    return replace(scene, palette=(COLOURS[colour], *shades), colours=(colour,) * 3)


@cache
def darkest(colour: str) -> float:
    """Return the darkest L* of a named colour's shades that have no other name nearer, in whole steps."""
    lightness = float(lab(COLOURS[colour])[0])
    while lightness > 1 and nearest_colour(at_lightness(COLOURS[colour], lightness - 1))[0] == colour:
        lightness -= 1
    return lightness


def shade_of(colour: str, contrast: float) -> RGB:
    """Return the shade of a named colour that is darker by ``contrast`` in L*, or its darkest."""
    named = COLOURS[colour]
    return at_lightness(named, max(float(lab(named)[0]) - contrast, darkest(colour)))


def at_lightness(rgb: RGB, lightness: float) -> RGB:
    """Darken a colour to an L* below its own, its chromaticity kept: linear RGB is scaled."""
    value = np.asarray(rgb, dtype=np.float64)
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    linear *= luminance(lightness) / luminance(float(lab(rgb)[0]))
    back = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return tuple(round(float(channel), 4) for channel in np.clip(back, 0.0, 1.0))


def luminance(lightness: float) -> float:
    """Return the relative luminance of an L* of 0 to 100: CIE 1976, [0, 1]."""
    return ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3
