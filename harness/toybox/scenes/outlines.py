"""Where a picture of a scene shows the object: traced by the very rays that the picture is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from harness.toybox.scenes.parts import DARK
from harness.toybox.scenes.render import material, rays, scene_parts, screen, trace
from harness.toybox.scenes.solids import Array
from harness.toybox.scenes.world import Scene


def outlines(scenes: Sequence[Scene], *, size: int = 64, supersample: int = 2) -> torch.Tensor:
    """Outline the objects of scenes: uint8 [n, 1, size, size], pixel for pixel as ``render`` draws them.

    255 times the share of a pixel's supersample x supersample rays that meet the object first. Backdrop,
    shadow and accessory are no part of it. Raises ``ValueError`` for sizes < 1.
    """
    if size < 1 or supersample < 1:
        raise ValueError(f"size and supersample must be at least 1, got {size} and {supersample}")
    if not scenes:
        return torch.zeros(0, 1, size, size, dtype=torch.uint8)
    met = np.stack([_meets(scene, size * supersample) for scene in scenes])
    shares = met.reshape(len(scenes), 1, size, supersample, size, supersample).mean(axis=(3, 5))
    return torch.from_numpy(np.round(shares * 255).astype(np.uint8))


def _meets(scene: Scene, size: int) -> Array:
    """Whether each of size x size rays meets the object first: bool [size * size]."""
    eye, directions = rays(scene, *screen(size))
    hit, t = trace(scene, eye, directions)
    met = np.zeros(size * size, dtype=bool)
    if hit.size:
        points = tuple(eye[i] + t * directions[i][hit] for i in range(3))
        met[hit] = material(scene_parts(scene)(*points)) <= DARK
    return met
