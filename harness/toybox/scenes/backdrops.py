"""The backgrounds: smooth procedural images; knows nothing of objects.

A backdrop maps screen coordinates u (right), v (up), both in [-1, 1], the height of its horizon and
four numbers in [0, 1] of the scene's own variation to RGB [..., 3] in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.toybox.scenes.solids import Array

Variation = tuple[float, ...]


def rgb(*channels: float) -> Array:
    """Make a colour."""
    return np.array(channels, dtype=np.float32)


def step(value: Array, width: float = 0.04) -> Array:
    """Smooth step from 0 (value < -width) to 1 (value > width), with an axis for channels."""
    t = np.clip(value * (0.5 / width) + 0.5, 0.0, 1.0)
    return (t * t * (3 - 2 * t))[..., None]


def ramp(low: Array, high: Array, t: Array) -> Array:
    """Blend two colours by t, clipped to [0, 1]."""
    t = np.clip(t, 0.0, 1.0)[..., None]
    return low + (high - low) * t


def over(below: Array, colour: Array, weight: Array) -> Array:
    """Lay a colour over an image with a weight per point [..., 1]."""
    return below + (colour - below) * weight


def disc(u: Array, v: Array, centre: tuple[float, float], radius: float) -> Array:
    """Weight of a soft-edged disc."""
    return step(radius - np.hypot(u - centre[0], v - centre[1]), 0.035)


def beach(u: Array, v: Array, h: float, k: Variation) -> Array:
    """Pale sand, a band of turquoise sea, a light sky."""
    sand = ramp(rgb(0.93, 0.82, 0.58), rgb(0.98, 0.91, 0.72), v + 1.0)
    shore = h - 0.36 + 0.05 * np.sin(3 * u + 6 * k[0])
    sea = ramp(rgb(0.30, 0.76, 0.80), rgb(0.10, 0.46, 0.70), (v - shore) / 0.36)
    sky = ramp(rgb(0.80, 0.92, 0.99), rgb(0.45, 0.74, 0.97), (v - h) / (1 - h))
    ground = over(sand, rgb(0.98, 0.98, 0.96), step(v - shore + 0.07, 0.03))
    return over(over(ground, sea, step(v - shore, 0.03)), sky, step(v - h, 0.02))


def snow(u: Array, v: Array, h: float, k: Variation) -> Array:
    """White drifts under a gray-blue sky with pale hills."""
    ground = ramp(rgb(0.90, 0.94, 0.99), rgb(0.98, 0.99, 1.0), v + 1.0)
    drift = 0.05 * np.sin(3.1 * u + 5 * v + 6 * k[0])
    ground = ground - rgb(1.0, 0.7, 0.35) * drift[..., None]
    sky = ramp(rgb(0.74, 0.80, 0.88), rgb(0.56, 0.64, 0.76), (v - h) / (1 - h))
    hills = h + 0.26 + 0.2 * np.sin(2.6 * u + 6 * k[1])
    sky = over(rgb(0.84, 0.89, 0.95), sky, step(v - hills, 0.03))
    return over(ground, sky, step(v - h, 0.02))


def meadow(u: Array, v: Array, h: float, k: Variation) -> Array:
    """Fresh green grass under a blue sky with a cloud."""
    grass = ramp(rgb(0.30, 0.62, 0.16), rgb(0.56, 0.80, 0.28), (v + 1) / (1 + h))
    grass = grass + rgb(0.05, 0.05, 0.02) * np.sin(5 * u + 6 * k[0] + 3 * np.sin(4 * v + 6 * k[1]))[..., None]
    sky = ramp(rgb(0.70, 0.87, 1.0), rgb(0.36, 0.62, 0.96), (v - h) / (1 - h))
    cx = 1.4 * k[2] - 0.7
    cloud = np.maximum(disc(u, v * 1.5, (cx, 1.15), 0.2), disc(u, v * 1.5, (cx + 0.24, 1.1), 0.15))
    return over(
        grass, over(sky, rgb(0.97, 0.98, 1.0), cloud), step(v - h - 0.06 * np.sin(2 * u + 6 * k[3]), 0.02)
    )


def desert(u: Array, v: Array, h: float, k: Variation) -> Array:
    """Orange dunes, one behind the other, under a hazy yellow sky."""
    sky = ramp(rgb(0.99, 0.90, 0.66), rgb(0.93, 0.76, 0.50), (v - h) / (1 - h))
    far = over(rgb(0.84, 0.50, 0.24), sky, step(v - h - 0.16 - 0.15 * np.sin(2.3 * u + 6 * k[0]), 0.02))
    near = ramp(rgb(0.80, 0.46, 0.20), rgb(0.92, 0.62, 0.32), v + 1.1)
    near = near + rgb(0.04, 0.04, 0.03) * np.sin(9 * v + 3 * np.sin(2 * u + 6 * k[1]))[..., None]
    return over(near, far, step(v - h + 0.18 - 0.12 * np.sin(1.9 * u + 6 * k[2]), 0.02))


def night(u: Array, v: Array, h: float, k: Variation) -> Array:
    """Dark blue ground and sky with a large moon."""
    ground = ramp(rgb(0.10, 0.12, 0.22), rgb(0.17, 0.20, 0.34), v + 1.0)
    sky = ramp(rgb(0.15, 0.17, 0.42), rgb(0.04, 0.05, 0.18), (v - h) / (1 - h))
    centre = (0.62 if k[0] > 0.5 else -0.62) + 0.3 * (k[1] - 0.5), 0.72 + 0.1 * k[2]
    glow = np.exp(-5 * np.hypot(u - centre[0], v - centre[1]))[..., None]
    sky = over(sky + 0.35 * glow, rgb(0.97, 0.95, 0.80), disc(u, v, centre, 0.17))
    return over(ground, sky, step(v - h - 0.05 * np.sin(3 * u + 6 * k[3]), 0.02))


def brick(u: Array, v: Array, h: float, k: Variation) -> Array:
    """A wall of large red bricks above a pale pavement."""
    row = (v - h) / 0.26
    line = np.floor(row)
    a = (u + 2 * k[0]) / 0.56 + 0.5 * (line % 2)
    joint = np.maximum(np.abs(a - np.floor(a) - 0.5) - 0.44, 0.48 * (np.abs(row - line - 0.5) - 0.4))
    tone = 0.5 + 0.5 * np.sin(12.9 * np.floor(a) + 7.3 * line)
    bricks = ramp(rgb(0.62, 0.26, 0.19), rgb(0.74, 0.36, 0.26), tone)
    wall = over(bricks, rgb(0.82, 0.74, 0.68), step(joint, 0.03))
    ground = ramp(rgb(0.66, 0.64, 0.62), rgb(0.76, 0.74, 0.71), v + 1.0)
    return over(ground, wall, step(v - h, 0.02))


def wood(u: Array, v: Array, h: float, k: Variation) -> Array:
    """Brown floor boards running to a cream wall."""
    plank = u / np.maximum(h + 0.9 - v, 0.3) / 0.24 + k[0]
    tone = 0.5 + 0.5 * np.sin(2.4 * np.floor(plank) + 6 * k[1])
    floor = ramp(rgb(0.52, 0.32, 0.16), rgb(0.66, 0.43, 0.23), tone)
    seam = 0.07 - np.abs(plank - np.floor(plank) - 0.5) + 0.38
    floor = over(floor, rgb(0.34, 0.20, 0.10), 1 - step(seam + 0.02, 0.05))
    wall = ramp(rgb(0.93, 0.88, 0.78), rgb(0.97, 0.93, 0.85), v)
    skirting = over(rgb(0.80, 0.72, 0.60), wall, step(v - h - 0.1, 0.02))
    return over(floor, skirting, step(v - h, 0.02))


def jungle(u: Array, v: Array, h: float, k: Variation) -> Array:
    """Dark trunks and leaves above dark green undergrowth."""
    ground = ramp(rgb(0.13, 0.24, 0.10), rgb(0.20, 0.36, 0.13), v + 1.0)
    leaves = ramp(rgb(0.06, 0.26, 0.12), rgb(0.03, 0.14, 0.08), v)
    trunk = np.cos(7.0 * u + 6 * k[0] + 0.4 * np.sin(3 * v))
    leaves = over(leaves, rgb(0.26, 0.18, 0.10), step(trunk - 0.62, 0.2))
    crown = np.sin(5.2 * u + 6 * k[1]) * 0.1 + np.sin(9 * u + 6 * k[2]) * 0.06 + 0.74
    leaves = over(leaves, rgb(0.16, 0.46, 0.14), step(v - crown, 0.05))
    edge = h + 0.07 * np.sin(8 * u + 6 * k[3])
    return over(over(ground, rgb(0.24, 0.50, 0.18), step(v - edge + 0.2, 0.12)), leaves, step(v - edge, 0.04))


def lake(u: Array, v: Array, h: float, k: Variation) -> Array:
    """Deep blue water with swells before dark green hills."""
    water = ramp(rgb(0.06, 0.26, 0.56), rgb(0.22, 0.50, 0.78), (v + 1) / (1 + h))
    swell = np.sin(16 * v / (1.4 - 0.4 * v) + 2.5 * np.sin(2.5 * u + 6 * k[0]))
    water = water + rgb(0.045, 0.06, 0.07) * swell[..., None]
    sky = ramp(rgb(0.88, 0.92, 0.94), rgb(0.70, 0.82, 0.92), (v - h) / (1 - h))
    hills = h + 0.2 + 0.16 * np.sin(3.1 * u + 6 * k[1])
    return over(water, over(rgb(0.22, 0.42, 0.30), sky, step(v - hills, 0.03)), step(v - h, 0.02))


def street(u: Array, v: Array, h: float, k: Variation) -> Array:
    """Gray asphalt with a white line before a row of tall houses."""
    road = ramp(rgb(0.30, 0.30, 0.33), rgb(0.42, 0.42, 0.45), v + 1.0)
    dash = (u + 2 * k[0]) / 0.9
    dash = np.minimum(0.3 - np.abs(dash - np.round(dash)), 0.06 - np.abs(v + 0.86))
    road = over(road, rgb(0.94, 0.94, 0.90), step(dash, 0.02))
    road = over(road, rgb(0.68, 0.67, 0.66), step(v - h + 0.16, 0.02))
    lot = (u + 2 * k[1]) / 0.5
    house = np.floor(lot)
    roof = 0.72 + 0.22 * np.sin(2.3 * house + 6 * k[2])
    front = ramp(rgb(0.48, 0.52, 0.62), rgb(0.70, 0.68, 0.72), 0.5 + 0.5 * np.sin(4.1 * house))
    a, b = lot * 2 - np.floor(lot * 2) - 0.5, (v - h) / 0.3 - np.floor((v - h) / 0.3) - 0.5
    front = over(front, rgb(0.96, 0.88, 0.56), step(0.24 - np.maximum(np.abs(a), np.abs(b)), 0.06))
    scene = over(front, rgb(0.78, 0.84, 0.90), step(v - roof, 0.02))
    return over(road, scene, step(v - h, 0.02))


def sunset(u: Array, v: Array, h: float, k: Variation) -> Array:
    """A purple plain under a pink and orange sky with a low sun."""
    ground = ramp(rgb(0.26, 0.13, 0.28), rgb(0.44, 0.22, 0.36), v + 1.0)
    t = (v - h) / (1 - h)
    sky = ramp(rgb(1.0, 0.62, 0.22), rgb(0.86, 0.30, 0.46), t * 1.6)
    sky = over(sky, rgb(0.46, 0.20, 0.56), step(t - 0.75, 0.35))
    sun = disc(u, v, ((0.64 if k[0] > 0.5 else -0.64) + 0.3 * (k[1] - 0.5), h + 0.14), 0.26)
    return over(ground, over(sky, rgb(1.0, 0.93, 0.55), sun), step(v - h, 0.02))


def tiles(u: Array, v: Array, h: float, k: Variation) -> Array:
    """A floor of pale and blue-green tiles before a pale mint wall."""
    far = 1.0 / np.maximum(h + 0.55 - v, 0.3)
    a, b = 2.3 * u * far + 2 * k[0], 3.2 * far + 2 * k[1]
    check = np.sin(np.pi * a) * np.sin(np.pi * b)
    floor = ramp(rgb(0.90, 0.93, 0.90), rgb(0.34, 0.56, 0.58), step(check, 0.16)[..., 0])
    wall = ramp(rgb(0.72, 0.88, 0.80), rgb(0.80, 0.93, 0.86), v)
    return over(floor, over(rgb(0.48, 0.68, 0.62), wall, step(v - h - 0.08, 0.02)), step(v - h, 0.02))


@dataclass(frozen=True)
class Backdrop:
    """A background: how it is painted and how it is said."""

    paint: Callable[[Array, Array, float, Variation], Array]
    phrase: str


BACKDROPS: dict[str, Backdrop] = {
    "beach": Backdrop(beach, "on the beach"),
    "snow": Backdrop(snow, "in the snow"),
    "meadow": Backdrop(meadow, "in a meadow"),
    "desert": Backdrop(desert, "in the desert"),
    "night": Backdrop(night, "under the moon at night"),
    "brick": Backdrop(brick, "in front of a brick wall"),
    "wood": Backdrop(wood, "on a wooden floor"),
    "jungle": Backdrop(jungle, "in the jungle"),
    "lake": Backdrop(lake, "in the water of a lake"),
    "street": Backdrop(street, "on a city street"),
    "sunset": Backdrop(sunset, "at sunset"),
    "tiles": Backdrop(tiles, "on a tiled floor"),
}


def backdrop(name: str, u: Array, v: Array, variation: int) -> Array:
    """Paint a background at screen coordinates: float32 RGB [..., 3] in [0, 1].

    Raises ``ValueError`` for an unknown name.
    """
    if name not in BACKDROPS:
        raise ValueError(f"unknown background {name!r}; known: {', '.join(BACKDROPS)}")
    k = np.random.default_rng(variation).uniform(0, 1, size=6)
    horizon = 0.18 + 0.2 * k[4]
    colours = BACKDROPS[name].paint(u, v, float(horizon), tuple(float(x) for x in k[:4]))
    return np.clip(colours * (0.95 + 0.08 * k[5]), 0.0, 1.0).astype(np.float32)
