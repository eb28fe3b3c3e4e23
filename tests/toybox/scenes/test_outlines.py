"""An outline is where a picture shows its object: what no backdrop, shadow or accessory can change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.toybox import subjects
from harness.toybox.scenes import render as renderer
from harness.toybox.scenes.outlines import outlines
from harness.toybox.scenes.render import render
from harness.toybox.scenes.world import ACCESSORIES, BACKGROUNDS, sample_scene

PHOTOS = [subjects.shots(each)[number % 6] for number, each in enumerate(subjects.subjects())]


def backdrop_of(level):
    """A backdrop and a ground of one level, without shadows."""
    return {
        "backdrop": lambda name, u, v, variation: np.full((u.size, 3), level, dtype=np.float32),
        "shadows": lambda scene, eye, directions: np.ones_like(directions[0]),
    }


def changed(monkeypatch, scenes, **parts):
    with monkeypatch.context() as patch:
        for name, part in parts.items():
            patch.setattr(renderer, name, part)
        return render(scenes).int()


def averaged(monkeypatch, level, supersample):
    """Photos before a backdrop of one level, in floating point: [n, 3, 64, 64]."""
    with monkeypatch.context() as patch:
        for name, part in backdrop_of(level).items():
            patch.setattr(renderer, name, part)
        rays = np.stack([renderer.render_one(scene, 64 * supersample) for scene in PHOTOS])
    pixels = rays.reshape(len(PHOTOS), 64, supersample, 64, supersample, 3).mean(axis=(2, 4))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@pytest.mark.parametrize("supersample", [1, 2, 3])
def test_what_is_no_outline_is_what_shows_the_backdrop(monkeypatch, supersample):
    through = averaged(monkeypatch, 1.0, supersample) - averaged(monkeypatch, 0.0, supersample)
    found = outlines(PHOTOS, supersample=supersample)
    assert found.shape == (len(PHOTOS), 1, 64, 64) and found.dtype == torch.uint8
    assert ((1 - found / 255) - through).abs().max() < 0.51 / 255
    of_rays = supersample**2
    assert set(found.unique().tolist()) == {round(255 * k / of_rays) for k in range(of_rays + 1)}
    assert all(0.03 < share < 0.6 for share in (found / 255).mean(dim=(1, 2, 3)).tolist())


def test_another_backdrop_changes_no_pixel_of_a_whole_outline_and_no_outline():
    elsewhere = [
        replace(scene, background=next(each for each in BACKGROUNDS if each != scene.background))
        for scene in PHOTOS
    ]
    found = outlines(PHOTOS)
    assert torch.equal(found, outlines(elsewhere))
    differ = (render(PHOTOS) != render(elsewhere)).any(1, keepdim=True)
    assert not differ[found == 255].any()
    assert differ[found < 255].float().mean() > 0.9


@pytest.mark.parametrize("accessory", [each for each in ACCESSORIES if each != "none"])
def test_an_accessory_is_no_part_of_the_outline(monkeypatch, accessory):
    rng = np.random.default_rng(3)
    scenes = [replace(sample_scene(rng), accessory=accessory) for _ in range(6)]
    found = outlines(scenes)
    blackened = {kind: (0.0, 0.0, 0.0) for kind in renderer.FIXED_COLOURS if kind != renderer.DARK}
    coloured = {**renderer.FIXED_COLOURS, **blackened}
    shown = changed(monkeypatch, scenes)
    without = changed(monkeypatch, scenes, FIXED_COLOURS=coloured, BALL_RED=(0.0, 0.0, 0.0))
    on_it = (shown != without).any(1, keepdim=True)
    assert on_it.any() and not on_it[found == 255].any()
    black, white = (changed(monkeypatch, scenes, **backdrop_of(level)) for level in (0.0, 1.0))
    solid = 255 - (white - black).amin(1, keepdim=True)
    other = solid - found.int()
    assert other.min() >= -1
    assert not ((other > 2) & ~on_it).any()


def test_outlines_do_not_depend_on_the_batch():
    assert torch.equal(outlines(PHOTOS[:3])[1:2], outlines(PHOTOS[1:2]))
    assert outlines([], size=8).shape == (0, 1, 8, 8)
    with pytest.raises(ValueError, match="at least 1, got 0 and 2"):
        outlines(PHOTOS, size=0)
