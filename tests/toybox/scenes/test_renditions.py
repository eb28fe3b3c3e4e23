"""A rendition changes what its name says and nothing else."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.toybox.scenes.renditions import RENDITIONS, TURNS, strong_view, turn_hue, turned
from harness.toybox.scenes.world import hue, sample_scene

CHANGED = {
    "class": {"category", "yaw"},
    "pattern": {"pattern"},
    "shape": {"shape"},
    "materials": {"palette", "colours"},
    "hue": {"palette", "colours"},
}


@pytest.mark.parametrize("name", RENDITIONS)
@pytest.mark.parametrize("seed", range(5))
def test_a_rendition_changes_only_its_own_property(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, looks="wide")
    other = RENDITIONS[name](scene, rng)
    before, after = asdict(scene), asdict(other)
    assert {key for key in before if before[key] != after[key]} - CHANGED[name] == set()
    assert before != after


def test_every_rendition_is_described_here() -> None:
    assert set(CHANGED) == set(RENDITIONS)


def test_swapping_keeps_the_palette() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        scene = sample_scene(rng, looks="wide")
        other = RENDITIONS["materials"](scene, rng)
        assert sorted(other.palette) == sorted(scene.palette)
        assert other.palette[0] != scene.palette[0]


def test_every_shape_parameter_moves_by_about_half_its_range() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        scene = sample_scene(rng, looks="wide")
        other = RENDITIONS["shape"](scene, rng)
        assert all(0 <= value <= 1 for value in other.shape)
        assert all(0.44 <= abs(a - b) <= 0.56 for a, b in zip(scene.shape, other.shape, strict=True))


@given(st.floats(0, 359), st.floats(-180, 180))
def test_a_hue_turns_by_so_many_degrees(start: float, degrees: float) -> None:
    colour = turn_hue((0.9, 0.2, 0.2), start)
    moved = (hue(turn_hue(colour, degrees)) - hue(colour)) % 360
    assert min(abs(moved - degrees % 360), 360 - abs(moved - degrees % 360)) < 0.3


def test_turned_hues_stay_within_the_stated_degrees() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        scene = sample_scene(rng)
        moved = (hue(turned(scene, rng).palette[0]) - hue(scene.palette[0])) % 360
        saturated = max(scene.palette[0]) - min(scene.palette[0]) > 0.3
        assert not saturated or TURNS[0] - 1 <= min(moved, 360 - moved) <= TURNS[1] + 1


def test_a_strong_view_shows_the_same_thing_elsewhere() -> None:
    rng = np.random.default_rng(6)
    scene = sample_scene(rng, looks="wide")
    view = strong_view(scene, rng)
    for field in ("category", "shape", "palette", "pattern", "pattern_scale"):
        assert getattr(view, field) == getattr(scene, field)
    assert view.background != scene.background
