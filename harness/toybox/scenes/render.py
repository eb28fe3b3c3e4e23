"""Images of scenes by sphere tracing; a pure function of the scene.

Coordinates: the object's frame (y up, ground at ``FLOOR``); the camera looks at the origin's height
from ``DISTANCE``. One scene is traced at a time, so an image's bytes cannot depend on its batch and
the working set (a few thousand rays) stays in cache. NumPy, float32, one thread: 6-7 ms an image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch

from harness.toybox.scenes import accessories
from harness.toybox.scenes.backdrops import backdrop
from harness.toybox.scenes.parts import BOUND, CENTRE, DARK, FLOOR, MAIN
from harness.toybox.scenes.patterns import pattern_weight
from harness.toybox.scenes.shapes import FORMS, object_parts
from harness.toybox.scenes.solids import Array
from harness.toybox.scenes.world import Scene

DISTANCE = 5.0
HALF_WIDTH = 1.42
ROOM = {"hat": 1.1, "ball": 1.17, "balloon": 1.2, "box": 1.12}
MAX_STEPS = 56
HIT = 0.006
SAFETY = 0.94

FIXED_COLOURS = {
    DARK: (0.05, 0.05, 0.06),
    accessories.HAT: (0.13, 0.13, 0.16),
    accessories.BAND: (0.80, 0.12, 0.14),
    accessories.BALL: (0.95, 0.95, 0.93),
    accessories.BOX: (0.74, 0.56, 0.36),
    accessories.BALLOON: (0.93, 0.16, 0.42),
    accessories.STRING: (0.92, 0.92, 0.92),
    accessories.SCARF: (0.95, 0.95, 0.93),
}
MATERIALS = 11
BALL_RED = (0.85, 0.12, 0.12)

Vector = tuple[float, ...]
Points = tuple[Array, ...]


def render(scenes: Sequence[Scene], *, size: int = 64, supersample: int = 2) -> torch.Tensor:
    """Render scenes: uint8 RGB [n, 3, size, size].

    Each pixel is the mean of supersample x supersample rays. Raises ``ValueError`` for sizes < 1.
    """
    if size < 1 or supersample < 1:
        raise ValueError(f"size and supersample must be at least 1, got {size} and {supersample}")
    if not scenes:
        return torch.zeros(0, 3, size, size, dtype=torch.uint8)
    images = [render_one(scene, size * supersample) for scene in scenes]
    fine = np.stack(images).reshape(len(scenes), size, supersample, size, supersample, 3).mean(axis=(2, 4))
    return torch.from_numpy(np.round(fine * 255).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


@lru_cache(maxsize=4)
def screen(size: int) -> tuple[Array, Array]:
    """Return u (right) and v (up) of the pixels' centres, each float32 [size * size] in [-1, 1]."""
    line = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    u, v = np.meshgrid(line, -line)
    return np.ascontiguousarray(u.ravel()), np.ascontiguousarray(v.ravel())


def turn(vector: Vector, yaw: float) -> Vector:
    """Rotate a vector of the world into the frame of an object turned by ``yaw``."""
    x, y, z = vector
    return x * math.cos(yaw) - z * math.sin(yaw), y, x * math.sin(yaw) + z * math.cos(yaw)


def camera_axes(scene: Scene) -> tuple[Vector, ...]:
    """Return right, up and backward of the camera in the object's frame."""
    c, s = math.cos(scene.pitch), math.sin(scene.pitch)
    axes = (1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)
    return tuple(turn(axis, scene.yaw) for axis in axes)


def target_height(scene: Scene) -> float:
    """Return the height the camera looks at, so that the object with its accessory is centred."""
    return {"hat": 0.18, "balloon": 0.12, "box": -0.26}.get(scene.accessory, 0.0)


def rays(scene: Scene, u: Array, v: Array) -> tuple[Vector, Points]:
    """Return the camera's place and the unit directions of the rays, in the object's frame."""
    right, up, back = camera_axes(scene)
    spread = HALF_WIDTH * ROOM.get(scene.accessory, 1.0) / DISTANCE / scene.scale
    a, b = (u - scene.place[0]) * spread, (v - scene.place[1]) * spread
    norm = 1 / np.sqrt(1 + a * a + b * b)
    directions = tuple(((a * right[i] + b * up[i] - back[i]) * norm).astype(np.float32) for i in range(3))
    eye = tuple(DISTANCE * back[i] + (target_height(scene) if i == 1 else 0.0) for i in range(3))
    return eye, directions


def scene_parts(scene: Scene) -> Callable[[Array, Array, Array], list[tuple[int, Array]]]:
    """Return the distance function of the object and its accessory, as (material, distance) parts."""
    form = FORMS[scene.category]
    side = 1 if scene.variation % 2 else -1

    def parts(x: Array, y: Array, z: Array) -> list[tuple[int, Array]]:
        found = object_parts(scene.category, x, y, z, scene.shape)
        if scene.accessory == "hat":
            return found + accessories.hat(x, y, z, form.crown(scene.shape))
        if scene.accessory == "ball":
            return found + accessories.ball(x, y, z, side, scene.yaw)
        if scene.accessory == "balloon":
            return found + accessories.balloon(x, y, z, side, scene.yaw)
        if scene.accessory == "box":
            return found + accessories.pedestal(x, y, z)
        if scene.accessory == "scarf":
            return found + accessories.scarf(x, y, z, nearest(found), form.neck(scene.shape))
        return found

    return parts


def nearest(parts: list[tuple[int, Array]]) -> Array:
    """Return the distance to the union of the parts."""
    total = parts[0][1]
    for _, distance in parts[1:]:
        total = np.minimum(total, distance)
    return total


def material(parts: list[tuple[int, Array]]) -> Array:
    """Return the material of the nearest part at each point."""
    index = np.argmin(np.stack([distance for _, distance in parts]), axis=0)
    return np.array([name for name, _ in parts])[index]


def bounds(scene: Scene) -> list[tuple[Vector, float]]:
    """Return spheres (centre, radius) that together hold everything solid in a scene."""
    spheres: list[tuple[Vector, float]] = [((0.0, CENTRE, 0.0), BOUND)]
    side = 1 if scene.variation % 2 else -1
    if scene.accessory == "hat":
        x, y, radius = FORMS[scene.category].crown(scene.shape)
        spheres.append(((x, y + 0.28, 0.0), max(0.42, radius + 0.26)))
    elif scene.accessory == "ball":
        x, z = accessories.beside(side, scene.yaw, 0.9, 0.62)
        spheres.append(((x, FLOOR + 0.36, z), 0.38))
    elif scene.accessory == "balloon":
        x, z = accessories.beside(side, scene.yaw, 1.0, 0.1)
        spheres.append(((x, 0.85, z), 0.5))
    elif scene.accessory == "box":
        spheres.append(((0.0, FLOOR - 0.2, 0.0), 1.14))
    return spheres


def enter(eye: Vector, directions: Points, scene: Scene) -> tuple[Array, Array]:
    """Return where rays enter and leave the bounding spheres; entry > exit where they miss."""
    start = np.full_like(directions[0], 1e3)
    stop = np.zeros_like(directions[0])
    for centre, radius in bounds(scene):
        ox, oy, oz = (eye[i] - centre[i] for i in range(3))
        b = ox * directions[0] + oy * directions[1] + oz * directions[2]
        discriminant = b * b - (ox * ox + oy * oy + oz * oz - radius * radius)
        reach = np.sqrt(np.maximum(discriminant, 0.0))
        hit = discriminant > 0
        start = np.where(hit, np.minimum(start, -b - reach), start)
        stop = np.where(hit, np.maximum(stop, -b + reach), stop)
    return start, stop


def trace(scene: Scene, eye: Vector, directions: Points) -> tuple[Array, Array]:
    """March rays to the surface: (indices of the rays that hit, their lengths)."""
    parts = scene_parts(scene)
    start, stop = enter(eye, directions, scene)
    active = np.flatnonzero(start < stop)
    t, end = start[active], stop[active]
    dx, dy, dz = (d[active] for d in directions)
    hits, lengths = [], []
    for _ in range(MAX_STEPS):
        distance = nearest(parts(eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz))
        near = distance < HIT
        if near.any():
            hits.append(active[near])
            lengths.append(t[near])
        t = t + distance * SAFETY
        keep = np.flatnonzero(~near & (t < end))
        if not keep.size:
            break
        if keep.size < t.size:
            active, t, end = active[keep], t[keep], end[keep]
            dx, dy, dz = dx[keep], dy[keep], dz[keep]
    if not hits:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    return np.concatenate(hits), np.concatenate(lengths)


def normals(parts: Callable, points: Points, step: float = 0.01) -> Points:
    """Return unit normals by differences over the four corners of a tetrahedron."""
    corners = ((1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1))
    moved = [np.concatenate([points[i] + corner[i] * step for corner in corners]) for i in range(3)]
    taps = nearest(parts(*moved)).reshape(4, -1)
    gradient = [sum(corner[i] * tap for corner, tap in zip(corners, taps, strict=True)) for i in range(3)]
    norm = 1 / np.sqrt(gradient[0] ** 2 + gradient[1] ** 2 + gradient[2] ** 2 + 1e-12)
    return tuple(g * norm for g in gradient)


def surface_colours(scene: Scene, kinds: Array, points: Points, normal: Points) -> Array:
    """Return the unlit colour of surface points, float32 [n, 3]."""
    table = np.zeros((MATERIALS, 3), dtype=np.float32)
    table[:3] = scene.palette
    for kind, colour in FIXED_COLOURS.items():
        table[kind] = colour
    colours = table[kinds]
    main = np.flatnonzero(kinds == MAIN)
    if scene.pattern != "plain" and main.size:
        lifted = (points[0][main], points[1][main] - FLOOR, points[2][main])
        weight = pattern_weight(scene.pattern, lifted, tuple(n[main] for n in normal), scene.pattern_scale)
        colours[main] += (table[1] - table[0]) * weight[:, None].astype(np.float32)
    striped = np.flatnonzero((kinds == accessories.BALL) | (kinds == accessories.SCARF))
    if striped.size:
        around = np.arctan2(points[0][striped], points[2][striped]) * 2.5
        ball = kinds[striped] == accessories.BALL
        wave = np.where(ball, np.sin(points[0][striped] * 9), np.sin(around * 2))
        weight = np.clip(wave * 4 + 0.5, 0, 1)[:, None].astype(np.float32)
        colours[striped] += (np.array(BALL_RED, dtype=np.float32) - colours[striped]) * weight
    return colours


def lit(scene: Scene, colours: Array, normal: Points, directions: Points, height: Array) -> Array:
    """Shade colours: ambient, diffuse and a little specular light; float32 [n, 3]."""
    angle = 0.9 * scene.light
    light = turn((math.sin(angle) * 0.72, 0.62, math.cos(angle) * 0.72), scene.yaw)
    size = math.sqrt(sum(c * c for c in light))
    light = tuple(c / size for c in light)
    facing = sum(normal[i] * light[i] for i in range(3))
    diffuse = np.maximum(facing, 0.0)
    shiny = np.maximum(sum((2 * facing * normal[i] - light[i]) * -directions[i] for i in range(3)), 0.0)
    sky = 0.5 + 0.5 * normal[1]
    contact = 0.82 + 0.18 * np.clip((height - FLOOR) * 2.5, 0.0, 1.0)
    strength = (0.5 + 0.14 * sky + 0.46 * diffuse) * contact
    return colours * strength[:, None] + (0.14 * shiny**12)[:, None]


def ground_height(scene: Scene) -> float:
    """Return the height of the ground in the object's frame."""
    return FLOOR - (accessories.BOX_HEIGHT if scene.accessory == "box" else 0.0)


def shadows(scene: Scene, eye: Vector, directions: Points) -> Array:
    """Return the light left on the ground by soft shadows, float32 [n] in (0, 1]."""
    down = np.minimum(directions[1], -1e-3)
    t = (ground_height(scene) - eye[1]) / down
    x, z = eye[0] + t * directions[0], eye[2] + t * directions[2]
    offset = turn((-0.3 * scene.light, 0.0, -0.12), scene.yaw)
    blobs = [(offset[0], offset[2], 0.8, 0.46)]
    if scene.accessory == "ball":
        bx, bz = accessories.beside(1 if scene.variation % 2 else -1, scene.yaw, 0.9, 0.62)
        blobs.append((bx + offset[0] * 0.4, bz + offset[2] * 0.4, 0.34, 0.42))
    shade = np.ones_like(t)
    for cx, cz, radius, depth in blobs:
        r2 = ((x - cx) ** 2 + (z - cz) ** 2) * (1 / radius**2)
        shade *= 1 - depth * np.exp(-(r2 * r2))
    return np.where(directions[1] < -1e-3, shade, 1.0).astype(np.float32)


def render_one(scene: Scene, size: int) -> Array:
    """Render one scene with one ray per pixel: float32 RGB [size, size, 3] in [0, 1]."""
    u, v = screen(size)
    eye, directions = rays(scene, u, v)
    image = backdrop(scene.background, u, v, scene.variation)
    image *= shadows(scene, eye, directions)[:, None]
    hit, t = trace(scene, eye, directions)
    if hit.size:
        ray = tuple(d[hit] for d in directions)
        points = tuple(eye[i] + t * ray[i] for i in range(3))
        parts = scene_parts(scene)
        kinds, normal = material(parts(*points)), normals(parts, points)
        colours = surface_colours(scene, kinds, points, normal)
        image[hit] = np.clip(lit(scene, colours, normal, ray, points[1]), 0.0, 1.0)
    return image.reshape(size, size, 3)
