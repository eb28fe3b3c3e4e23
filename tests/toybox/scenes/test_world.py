"""The embedded benchmark's world: pictures are pure, splits are kept, words tell the truth."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.toybox import captions, prompts, subjects
from harness.toybox.scenes.backdrops import BACKDROPS
from harness.toybox.scenes.parts import BOUND, CENTRE
from harness.toybox.scenes.patterns import HELDOUT_PATTERNS, PATTERNS
from harness.toybox.scenes.render import render
from harness.toybox.scenes.shapes import FORMS, object_parts
from harness.toybox.scenes.world import (
    ACCESSORIES,
    BACKGROUNDS,
    CLASSES,
    COLOURS,
    Scene,
    another_view,
    colour_name,
    hue,
    is_heldout,
    nearest_colour,
    sample_scene,
    triple,
)


def scenes(n, seed=0, **choices):
    rng = np.random.default_rng(seed)
    return [sample_scene(rng, **choices) for _ in range(n)]


def saturation(rgb):
    return 1 - min(rgb) / max(rgb)


def test_vocabulary_is_as_large_as_promised():
    assert len(CLASSES) >= 12 and len(COLOURS) >= 10 and len(BACKGROUNDS) >= 8 and len(ACCESSORIES) >= 5
    assert not set(PATTERNS) & set(HELDOUT_PATTERNS)


def test_rendering_does_not_depend_on_the_batch():
    batch = scenes(6, split="any", looks="wide")
    together = render(batch)
    assert together.shape == (6, 3, 64, 64) and together.dtype == torch.uint8
    assert torch.equal(together[2], render([batch[2]])[0])
    assert torch.equal(together.flip(0), render(batch[::-1]))


def test_every_field_of_a_scene_shows_in_the_picture():
    scene = replace(scenes(1)[0], pattern="striped", accessory="none", background="beach", light=0.5)
    base = render([scene])
    for change in (
        {"shape": tuple(1 - s for s in scene.shape)},
        {"palette": tuple(scene.palette[i] for i in (1, 2, 0))},
        {"pattern": "plain"},
        {"pattern_scale": scene.pattern_scale * 1.3},
        {"background": "snow"},
        {"accessory": "hat"},
        {"yaw": scene.yaw + 0.3},
        {"pitch": scene.pitch + 0.2},
        {"scale": scene.scale * 0.8},
        {"place": (0.3, 0.0)},
        {"light": -0.5},
        {"variation": scene.variation + 1},
    ):
        assert not torch.equal(base, render([replace(scene, **change)])), change


@pytest.mark.parametrize("category", CLASSES)
@pytest.mark.parametrize("accessory", ACCESSORIES)
def test_objects_are_seen_at_the_ends_of_every_range(category, accessory):
    scene = replace(
        scenes(1)[0], category=category, accessory=accessory, background="night", scale=1.0, place=(0.0, 0.0)
    )
    for end in (0.0, 1.0):
        shown = replace(scene, shape=(end,) * 4, yaw=FORMS[category].turn)
        gone = replace(shown, place=(9.0, 9.0))
        covered = (render([shown]).int() - render([gone]).int()).abs().amax(dim=1)[0] > 24
        assert 0.05 < covered.float().mean() < 0.6
        width = covered.any(dim=0).float().mean()
        assert 0.2 < width <= 1.0


@pytest.mark.parametrize("category", CLASSES)
def test_no_solid_leaves_its_bounding_sphere(category):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3, 20000))
    points *= rng.uniform(BOUND, BOUND + 0.4, 20000) / np.linalg.norm(points, axis=0)
    points[1] += CENTRE
    for corner in itertools.product((0.0, 1.0), repeat=4):
        assert all((distance > 0).all() for _, distance in object_parts(category, *points, corner))


def test_scene_survives_json():
    for scene in scenes(5, looks="wide"):
        assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


def test_unknown_words_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown background 'moon'; known: beach"):
        replace(scenes(1)[0], background="moon")
    with pytest.raises(ValueError, match="unknown split"):
        sample_scene(np.random.default_rng(0), split="test")


@pytest.mark.parametrize("looks", ["named", "wide"])
def test_heldout_triples_never_occur_in_training(looks):
    assert not any(is_heldout(*triple(scene)) for scene in scenes(2000, looks=looks))
    assert all(is_heldout(*triple(scene)) for scene in scenes(20, split="heldout", looks=looks))
    rng = np.random.default_rng(3)
    assert not any(is_heldout(*triple(another_view(scene, rng))) for scene in scenes(300, looks=looks))


def test_about_one_triple_in_twelve_is_held_out_and_every_word_keeps_some_of_both():
    held = [(c, k, b) for c in CLASSES for k in COLOURS for b in BACKGROUNDS if is_heldout(c, k, b)]
    assert 0.06 < len(held) / (len(CLASSES) * len(COLOURS) * len(BACKGROUNDS)) < 0.11
    for position, words in enumerate((CLASSES, COLOURS, BACKGROUNDS)):
        assert {each[position] for each in held} == set(words)


def test_training_scenes_never_show_heldout_patterns():
    assert {scene.pattern for scene in scenes(400)} == set(PATTERNS)
    assert {scene.pattern for scene in scenes(400, looks="wide")} == set(PATTERNS + HELDOUT_PATTERNS)


def test_named_scenes_carry_their_nearest_names():
    for scene in scenes(200):
        assert [nearest_colour(rgb)[0] for rgb in scene.palette] == list(scene.colours)


def test_another_view_keeps_the_instance_and_changes_the_background():
    scene = scenes(1)[0]
    view = another_view(scene, np.random.default_rng(1))
    for name in ("category", "shape", "palette", "colours", "pattern", "pattern_scale"):
        assert getattr(view, name) == getattr(scene, name)
    assert view.background != scene.background


def test_captions_say_only_what_is_there_and_always_the_class():
    rng = np.random.default_rng(0)
    for scene in scenes(300, split="any"):
        text = captions.caption(scene, rng)
        words = text.split()
        assert scene.category in words
        assert set(words) & set(COLOURS) <= set(scene.colours)
        assert set(words) & set(PATTERNS) <= {scene.pattern}
        for name, backdrop in BACKDROPS.items():
            assert backdrop.phrase not in text or name == scene.background
        for name, phrase in captions.ACCESSORY_PHRASES.items():
            assert phrase not in text or name == scene.accessory


def test_captions_without_dropping_say_class_colour_background_and_accessory():
    rng = np.random.default_rng(0)
    for scene in scenes(50, split="any"):
        text = captions.caption(scene, rng, drop=0.0)
        assert scene.colours[0] in text and BACKDROPS[scene.background].phrase in text
        assert scene.accessory == "none" or captions.ACCESSORY_PHRASES[scene.accessory] in text


def test_every_background_and_accessory_phrase_is_its_own():
    phrases = [drop.phrase for drop in BACKDROPS.values()] + list(captions.ACCESSORY_PHRASES.values())
    assert not any(a in b for a in phrases for b in phrases if a is not b)


def test_off_vocabulary_looks_are_not_named_in_captions_but_are_in_descriptions():
    rng = np.random.default_rng(0)
    scene = next(each for each in subjects.subjects() if each.name == "mint-duck").look
    assert not set(captions.caption(scene, rng, drop=0.0).split()) & set(PATTERNS + HELDOUT_PATTERNS)
    assert captions.look_phrase(scene).startswith("striped") and "duck with" in captions.look_phrase(scene)


def test_rare_tokens_are_single_tokens_of_the_real_vocabulary():
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    rare = captions.rare_tokens()
    assert len(rare) == len(set(rare)) == captions.RARE_COUNT
    assert {"sks", "ktn"} <= set(rare)
    assert [word for word in rare if len(tokenizer.encode(word)) != 1] == ["ktn"]
    assert tokenizer.encoder["ktn"] == 42170, "Custom Diffusion's initializer exists only inside words"
    assert not set(rare) & captions.spoken_words()


def test_class_nouns_are_single_tokens():
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    assert [noun for noun in CLASSES if len(tokenizer.encode(noun)) != 1] == []


def test_a_rare_token_stands_directly_before_the_class_noun():
    rng = np.random.default_rng(0)
    rare, bare = set(captions.rare_tokens()), 0
    for scene in scenes(60):
        words = captions.caption(scene, rng, drop=0.0, rare=1.0).split()
        assert words[words.index(scene.category) - 1] in rare
        bare += scene.colours[0] not in words
    assert 10 < bare < 50


def test_subjects_are_four_and_sixteen_with_shared_classes():
    everyone = subjects.subjects()
    assert [each.split for each in everyone].count("dev") == 4 and len(everyone) == 20
    assert len({each.name for each in everyone}) == 20
    tested = [each.category for each in everyone if each.split == "test"]
    assert sum(tested.count(category) >= 2 for category in set(tested)) >= 2


def hue_distance(first, second) -> float:
    """Return the angle between two hues in degrees, [0, 180]."""
    gap = abs(hue(first) - hue(second)) % 360
    return min(gap, 360 - gap)


def test_subjects_lie_off_the_vocabulary():
    named = [rgb for rgb in COLOURS.values() if saturation(rgb) > 0.1]
    for each in subjects.subjects():
        assert each.look.pattern in HELDOUT_PATTERNS
        for rgb in each.look.palette:
            assert saturation(rgb) > 0.3
            assert min(hue_distance(rgb, other) for other in named) >= 15, (each.name, rgb)
            assert colour_name(rgb) is None, (each.name, rgb, nearest_colour(rgb))


def test_photos_show_one_instance_and_references_other_backgrounds():
    for each in subjects.subjects():
        shots, references = subjects.shots(each), subjects.references(each)
        assert len(shots) == len(references) == 6
        assert not {s.background for s in shots} & {r.background for r in references}
        assert len({(s.category, s.shape, s.palette, s.pattern, s.accessory) for s in each.photos}) == 1


def test_each_subject_has_25_prompts_with_ground_truth_in_dreambenchs_division():
    for each in subjects.subjects():
        asked = subjects.prompts(each)
        kinds = [prompt.kind for prompt in asked]
        live = each.category in ("duck", "cat")
        assert len({prompt.text_template for prompt in asked}) == 25
        assert kinds.count("recontextualization") == (10 if live else 20)
        assert kinds.count("accessory") == (10 if live else 0) and kinds.count("property") == 5
        assert all(prompt.attributes and prompt.text_template.count("{}") == 1 for prompt in asked)


def test_prompts_fill_with_the_right_article():
    prompt = prompts.ToyPrompt("a {} on the beach", "recontextualization", {"background": "beach"})
    assert prompt.fill("sks mug") == "a sks mug on the beach"
    assert prompt.fill("orange mug") == "an orange mug on the beach"
    assert prompts.property_prompt("orange").fill("sks mug") == "an orange sks mug"


def test_class_prompts_are_of_the_class_and_other_prompts_of_the_rest():
    own, others = prompts.class_prompts("mug", 32), prompts.other_prompts("mug", 31)
    assert len({prompt.text_template for prompt in own}) == 32 and own == prompts.class_prompts("mug", 32)
    assert len({prompt.text_template for prompt in others}) == 31
    assert own[0].fill() == "a photo of a mug"
    assert all(prompt.attributes["category"] == "mug" for prompt in own)
    assert {prompt.attributes["category"] for prompt in others} == set(CLASSES) - {"mug"}


def test_importing_the_world_does_no_work():
    code = (
        "import sys, harness.toybox.captions as c, harness.toybox.subjects as s;"
        "assert 'open_clip' not in sys.modules and not c.rare_tokens.cache_info().currsize"
        " and not s.subjects.cache_info().currsize"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
