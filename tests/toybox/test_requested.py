"""What a prompt asks of a subject: the scene shows it, and the object stays what it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.toybox.requested import (
    LEAST_CONTRAST,
    another_photo,
    at_lightness,
    elsewhere,
    recoloured,
    requested,
)
from harness.toybox.scenes.attributes import words
from harness.toybox.scenes.render import render
from harness.toybox.scenes.world import ACCESSORIES, BACKGROUNDS, COLOURS, lab, nearest_colour
from harness.toybox.subjects import prompts, subjects

SUBJECTS = {each.name: each for each in subjects()}
DUCK = SUBJECTS["mint-duck"].look


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ["candy-mug", "fern-cat", "mint-duck"])
def test_a_scene_shows_all_that_each_prompt_of_a_subject_asks_for(name):
    for seed, prompt in enumerate(prompts(SUBJECTS[name])):
        asked = {"class": SUBJECTS[name].category, **prompt.attributes}
        shown = words(requested(SUBJECTS[name].look, asked, rng(seed)))
        assert {("category" if key == "class" else key): value for key, value in asked.items()}.items() <= (
            shown.items()
        )
        assert "accessory" in asked or shown["accessory"] == "none"


def test_what_is_not_asked_for_stays_the_subject_s():
    shown = requested(DUCK, {"background": "beach", "accessory": "hat"}, rng())
    for field in ("category", "shape", "palette", "colours", "pattern", "pattern_scale"):
        assert getattr(shown, field) == getattr(DUCK, field)
    coloured = requested(DUCK, {"colour": "red"}, rng())
    for field in ("category", "shape", "pattern", "pattern_scale"):
        assert getattr(coloured, field) == getattr(DUCK, field)


def test_views_follow_the_generator_and_nothing_else():
    assert requested(DUCK, {"colour": "red"}, rng(3)) == requested(DUCK, {"colour": "red"}, rng(3))
    assert len({another_photo(DUCK, rng(seed)).background for seed in range(60)}) == len(BACKGROUNDS)


def test_another_class_or_an_unknown_attribute_is_refused():
    with pytest.raises(ValueError, match="a duck cannot be a mug"):
        requested(DUCK, {"class": "mug"}, rng())
    with pytest.raises(ValueError, match="cannot show mood"):
        requested(DUCK, {"mood": "sad"}, rng())
    with pytest.raises(ValueError, match="unknown colour 'puce'"):
        recoloured(DUCK, "puce")


@pytest.mark.parametrize("colour", ["red", "yellow", "purple", "blue", "orange"])
def test_every_material_of_a_recoloured_object_has_the_colour_s_name_and_the_pattern_can_be_seen(colour):
    for subject in subjects():
        main, *others = recoloured(subject.look, colour).palette
        assert main == COLOURS[colour]
        for rgb, own in zip(others, subject.look.palette[1:], strict=True):
            assert nearest_colour(rgb)[0] == colour
            contrast = lab(main)[0] - lab(rgb)[0]
            wanted = abs(lab(own)[0] - lab(subject.look.palette[0])[0])
            assert LEAST_CONTRAST - 0.1 <= contrast <= max(wanted, LEAST_CONTRAST) + 0.1


def test_a_recoloured_object_has_its_own_outline_and_no_other_hue():
    view = replace(DUCK, background="snow", light=0.0)
    own, red = (render([scene])[0].float() for scene in (view, recoloured(view, "red")))
    changed = (own - red).abs().amax(0) > 8
    corner = changed[:8, :8]
    assert changed.float().mean() > 0.05 and not corner.any()
    seen = red[:, changed]
    coloured = seen[:, seen[0] > 60]
    assert ((coloured[0] > coloured[1]) & (coloured[0] > coloured[2])).float().mean() > 0.95


def linear(rgb):
    """IEC 61966-2-1, written anew: sRGB [3] to linear light."""
    return np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb])


@given(st.sampled_from(sorted(COLOURS)), st.floats(0.3, 1.0))
def test_a_darkened_colour_has_the_lightness_asked_for_and_its_chromaticity(colour, share):
    rgb = COLOURS[colour]
    before = linear(rgb)
    lightness = 116 * np.cbrt(before @ [0.2126, 0.7152, 0.0722]) - 16
    after = linear(at_lightness(rgb, share * lightness))
    found = after @ [0.2126, 0.7152, 0.0722]
    found = 903.3 * found if found <= 0.008856 else 116 * np.cbrt(found) - 16
    assert found == pytest.approx(share * lightness, abs=0.1)
    assert after / after.sum() == pytest.approx(before / before.sum(), abs=5e-3)


def test_elsewhere_is_the_same_object_in_every_background_with_and_without_accessories():
    scenes = elsewhere(DUCK, rng())
    assert len(scenes) == 200 and len(set(scenes)) == 200
    assert {(s.category, s.shape, s.palette, s.pattern) for s in scenes} == {
        (DUCK.category, DUCK.shape, DUCK.palette, DUCK.pattern)
    }
    assert {s.background for s in scenes} == set(BACKGROUNDS)
    assert {s.accessory for s in scenes} == set(ACCESSORIES)
    assert sum(s.accessory == "none" for s in scenes) == 100
