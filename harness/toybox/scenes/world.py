"""The world's vocabulary and its scenes: what there is to see, as data; knows nothing of pixels."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from harness.toybox.scenes.backdrops import BACKDROPS
from harness.toybox.scenes.parts import SHAPE_PARAMETERS
from harness.toybox.scenes.patterns import FAMILIES, HELDOUT_PATTERNS, PATTERNS
from harness.toybox.scenes.shapes import FORMS

RGB = tuple[float, ...]

CLASSES: tuple[str, ...] = tuple(FORMS)
LIVE: frozenset[str] = frozenset(name for name, form in FORMS.items() if form.live)
BACKGROUNDS: tuple[str, ...] = tuple(BACKDROPS)
ACCESSORIES: tuple[str, ...] = ("none", "hat", "ball", "box", "balloon", "scarf")
COLOURS: dict[str, RGB] = {
    "red": (0.86, 0.10, 0.10),
    "orange": (0.98, 0.52, 0.06),
    "yellow": (0.97, 0.88, 0.12),
    "green": (0.13, 0.62, 0.18),
    "teal": (0.08, 0.66, 0.66),
    "blue": (0.12, 0.30, 0.88),
    "purple": (0.50, 0.16, 0.76),
    "pink": (0.98, 0.50, 0.77),
    "brown": (0.44, 0.25, 0.12),
    "white": (0.95, 0.95, 0.95),
    "gray": (0.55, 0.55, 0.56),
    "black": (0.10, 0.10, 0.11),
}
NEAR_NAME = 14.0
HELDOUT_SHARE = 12

Split = Literal["train", "heldout", "any"]
Looks = Literal["named", "wide"]


@dataclass(frozen=True)
class Scene:
    """Everything an image depends on.

    ``shape``: four parameters in [0, 1]. ``palette``: three RGB in [0, 1], of the main, second and
    detail material; ``colours``: their names, None where no name fits. ``yaw``, ``pitch``: radians.
    ``place``: offset of the object in half-widths of the image (right, up). ``light``: side it
    comes from, -1 (left) to 1 (right). ``variation``: seed of the background's own variation.
    """

    category: str
    shape: tuple[float, ...]
    palette: tuple[RGB, ...]
    colours: tuple[str | None, ...]
    pattern: str
    pattern_scale: float
    background: str
    accessory: str
    yaw: float
    pitch: float
    scale: float
    place: tuple[float, float]
    light: float
    variation: int

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a word the world does not know."""
        for field, known in (
            ("category", CLASSES),
            ("pattern", tuple(FAMILIES)),
            ("background", BACKGROUNDS),
            ("accessory", ACCESSORIES),
        ):
            value = getattr(self, field)
            if value not in known:
                raise ValueError(f"unknown {field} {value!r}; known: {', '.join(known)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the scene as plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scene:
        """Rebuild a scene from ``to_dict``'s data, lists (from JSON) standing for tuples."""
        tuples = {
            "shape": tuple(data["shape"]),
            "palette": tuple(tuple(rgb) for rgb in data["palette"]),
            "colours": tuple(data["colours"]),
            "place": tuple(data["place"]),
        }
        return cls(**{**data, **tuples})


def lab(rgb: RGB) -> np.ndarray:
    """Convert sRGB in [0, 1] to CIE L*a*b* (D65), float64 [3]."""
    value = np.asarray(rgb, dtype=np.float64)
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(np.maximum(xyz / np.array([0.9505, 1.0, 1.089]), 1e-4))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest_colour(rgb: RGB) -> tuple[str, float]:
    """Return the nearest named colour and its distance in L*a*b*."""
    distances = {name: float(np.linalg.norm(lab(rgb) - lab(named))) for name, named in COLOURS.items()}
    name = min(distances, key=distances.__getitem__)
    return name, distances[name]


def colour_name(rgb: RGB) -> str | None:
    """Name a colour, or return None when no name lies within ``NEAR_NAME``."""
    name, distance = nearest_colour(rgb)
    return name if distance <= NEAR_NAME else None


def hue(rgb: RGB) -> float:
    """Return the hue in degrees, [0, 360)."""
    return 360 * colorsys.rgb_to_hsv(*rgb)[0]


def is_heldout(category: str, colour: str, background: str) -> bool:
    """Whether a class x main colour x background triple is kept out of all training."""
    digest = hashlib.sha256(f"{category}/{colour}/{background}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELDOUT_SHARE == 0


def triple(scene: Scene) -> tuple[str, str, str]:
    """Return a scene's class, main colour (the nearest name) and background."""
    colour = scene.colours[0] or nearest_colour(scene.palette[0])[0]
    return scene.category, colour, scene.background


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    """Draw one option."""
    return options[int(rng.integers(len(options)))]


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a plain float, rounded so that JSON keeps it exactly and short."""
    return round(float(rng.uniform(low, high)), 4)


def shade(rng: np.random.Generator, rgb: RGB) -> RGB:
    """Vary a named colour slightly."""
    return tuple(round(float(np.clip(c + rng.uniform(-0.025, 0.025), 0, 1)), 4) for c in rgb)


def named_palette(rng: np.random.Generator) -> tuple[tuple[RGB, ...], tuple[str, ...]]:
    """Draw three different named colours: (rgb, names)."""
    names = tuple(str(name) for name in rng.choice(list(COLOURS), size=3, replace=False))
    return tuple(shade(rng, COLOURS[name]) for name in names), names


def wide_palette(rng: np.random.Generator) -> tuple[tuple[RGB, ...], tuple[str | None, ...]]:
    """Draw three colours from the whole space, at least 25 L*a*b* units apart: (rgb, names)."""
    palette: list[RGB] = []
    while len(palette) < 3:
        hsv = rng.uniform(0, 1), rng.uniform(0.1, 1), rng.uniform(0.25, 1)
        rgb = tuple(round(float(c), 4) for c in colorsys.hsv_to_rgb(*hsv))
        if all(np.linalg.norm(lab(rgb) - lab(other)) > 25 for other in palette):
            palette.append(rgb)
    return tuple(palette), tuple(colour_name(rgb) for rgb in palette)


def sample_view(rng: np.random.Generator, category: str) -> dict[str, Any]:
    """Draw what differs between two photos of one thing: background, accessory, view and light."""
    turn = FORMS[category].turn
    return {
        "background": pick(rng, BACKGROUNDS),
        "accessory": pick(rng, ACCESSORIES[1:]) if rng.random() < 0.5 else "none",
        "yaw": uniform(rng, turn - 0.65, turn + 0.65),
        "pitch": uniform(rng, 0.12, 0.5),
        "scale": uniform(rng, 0.88, 1.15),
        "place": (uniform(rng, -0.14, 0.14), uniform(rng, -0.1, 0.06)),
        "light": uniform(rng, -1.0, 1.0),
        "variation": int(rng.integers(2**31)),
    }


def draw_scene(rng: np.random.Generator, looks: Looks) -> Scene:
    """Draw a scene of any triple."""
    category = pick(rng, CLASSES)
    palette, colours = named_palette(rng) if looks == "named" else wide_palette(rng)
    if looks == "named":
        pattern = "plain" if rng.random() < 0.5 else pick(rng, PATTERNS[1:])
    else:
        pattern = pick(rng, PATTERNS + HELDOUT_PATTERNS)
    return Scene(
        category=category,
        shape=tuple(uniform(rng, 0, 1) for _ in range(SHAPE_PARAMETERS)),
        palette=palette,
        colours=colours,
        pattern=pattern,
        pattern_scale=uniform(rng, 0.85, 1.2),
        **sample_view(rng, category),
    )


def sample_scene(rng: np.random.Generator, *, split: Split = "train", looks: Looks = "named") -> Scene:
    """Draw a scene.

    ``split``: "train" never shows a held-out class x main colour x background triple, "heldout"
    shows only those, "any" both. ``looks``: "named" colours and patterns, or "wide": any colours
    and all pattern families. Raises ``ValueError`` for another word.
    """
    if split not in ("train", "heldout", "any"):
        raise ValueError(f"unknown split {split!r}; known: train, heldout, any")
    if looks not in ("named", "wide"):
        raise ValueError(f"unknown looks {looks!r}; known: named, wide")
    while True:
        scene = draw_scene(rng, looks)
        if split == "any" or is_heldout(*triple(scene)) == (split == "heldout"):
            return scene


def another_view(scene: Scene, rng: np.random.Generator) -> Scene:
    """Draw another photo of the same instance: other background, view, light and accessory.

    The new triple is never a held-out one unless the scene's own is.
    """
    while True:
        view = replace(scene, **sample_view(rng, scene.category))
        allowed = is_heldout(*triple(scene)) or not is_heldout(*triple(view))
        if view.background != scene.background and allowed:
            return view
