"""The score stage with encoders that can be reckoned by hand: an image's features are its mean colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from harness.metrics.registry import MEASURES
from harness.metrics.scorer import Scorer
from harness.metrics.scorer_inputs import Encoders, PriorImages, PriorPrompt, ScorerInputs, SubjectPhotos

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
WORDS = {"red": RED, "green": GREEN, "blue": BLUE}


def image(colour, size=(4, 4)):
    return Image.new("RGB", size, colour)


class MeanColour:
    """An encoder of images, and of the words red, green and blue; counts what it embeds."""

    def __init__(self):
        self.embedded = 0

    def embed_images(self, images):
        self.embedded += len(images)
        rows = torch.tensor([np.asarray(each, dtype=np.float32).mean((0, 1)).tolist() for each in images])
        return torch.nn.functional.normalize(rows, dim=-1)

    def embed_texts(self, texts):
        rows = torch.tensor([WORDS[text.split()[-1]] for text in texts], dtype=torch.float32)
        return torch.nn.functional.normalize(rows, dim=-1)

    def cut_texts(self, texts):
        return [f"cut: {text}" for text in texts if text.startswith("very")]


class ReadsColour:
    """A probe that names the colour, sees a mug everywhere, and rings on pictures of 4 × 4."""

    def read(self, images):
        names = {colour: name for name, colour in WORDS.items()}
        patterns = {(4, 4): "rings", (5, 5): "crosses"}
        return [
            {"class": "mug", "colour": names[each.getpixel((0, 0))], "pattern": patterns[each.size]}
            for each in images
        ]


@pytest.fixture
def encoders():
    return Encoders({"clip": MeanColour(), "dino": MeanColour(), "probe": ReadsColour()})


RINGED = SubjectPhotos([image(RED)], [], [0], looks={"class": "mug", "pattern": "rings"})
SHAPES = {"shape_1": "low", "shape_2": "high", "shape_3": "middle", "shape_4": "high"}
SHAPED = SubjectPhotos([image(RED)], [], [0], looks={"class": "mug", **SHAPES})


def prior(*groups, tuned=BLUE, base=RED, floor=RED):
    prompts = [PriorPrompt(g, "" if g == "empty" else "a red", i, 100 + i) for i, g in enumerate(groups)]
    sets = [[image(colour)] * len(prompts) for colour in (tuned, base, floor)]
    return PriorImages(prompts, *sets)


def inputs(**changes):
    """Two prompts of two images each; three photos, of which the first is a shot, the last held out."""
    given = {
        "images": [image(RED), image(GREEN), image(RED), image(RED)],
        "subject": SubjectPhotos([image(RED), image(RED, (5, 5)), image(BLUE)], [0], [1, 2]),
        "prompt_of": [0, 0, 1, 1],
        "texts": ["a red", "a green"],
        "requested": [{"class": "mug", "colour": "red"}, {"class": "cup", "colour": "red"}],
        "kinds": ["recontextualization", "accessory"],
        "prior": prior("class", "class", "other", "empty"),
    }
    return ScorerInputs(**{**given, **changes})


def scores(encoders, *names, **changes):
    return Scorer(inputs(**changes), encoders).scores(names)


def test_fidelity_by_hand(encoders):
    result = scores(encoders, "dino", "dino_heldout", "clip_i")
    assert result.by_image["dino"] == pytest.approx([2 / 3, 0, 2 / 3, 2 / 3])
    assert result.by_prompt["dino"] == pytest.approx([1 / 3, 2 / 3])
    assert result.values["dino"] == pytest.approx(0.5) == result.values["clip_i"]
    assert result.values["dino_heldout"] == pytest.approx((1 / 4 + 1 / 2) / 2)


def test_text_alignment_pairs_each_image_with_its_own_prompt(encoders):
    assert scores(encoders, "clip_t").by_image["clip_t"] == pytest.approx([1, 0, 0, 0])


def test_a_text_that_was_cut_is_noted(encoders):
    result = scores(encoders, "clip_t", texts=["a red", "very long green"])
    assert result.notes["clip_t"] == "cut: very long green"
    assert result.values["clip_t"] is not None


def test_diversity_is_within_a_prompt(encoders):
    result = scores(encoders, "div_dino")
    assert result.by_prompt["div_dino"] == pytest.approx([1, 0])


def test_copying_is_the_share_nearer_to_a_shot_than_to_the_subject_elsewhere(encoders):
    elsewhere = [image(BLUE), image((0, 200, 0))]
    subject = SubjectPhotos([image(RED), image(GREEN)], [0], [1], elsewhere=elsewhere)
    result = scores(encoders, "copying", subject=subject)
    assert result.by_image["copying"] == [1, 0, 1, 1]  # green is nearer to dark green than to the shot, red
    assert result.values["copying"] == 0.75


def test_the_subject_s_pattern_is_read_where_the_prompt_leaves_it_alone(encoders):
    subject = SubjectPhotos([image(RED)], [], [0], looks={"class": "mug", "pattern": "rings"})
    images = [image(RED), image(RED, (5, 5)), image(RED, (5, 5)), image(RED, (5, 5))]
    result = scores(
        encoders, "subject_pattern", images=images, subject=subject, kinds=["accessory", "property"]
    )
    assert result.by_image["subject_pattern"] == [1, 0, None, None]
    assert result.by_prompt["subject_pattern"] == [0.5, None]
    assert result.values["subject_pattern"] == 0.5


def test_photos_of_the_subject_show_its_pattern(encoders):
    photos = [image(RED), image(BLUE, (5, 5)), image(BLUE)]
    subject = SubjectPhotos(photos, [], [0], looks={"class": "mug", "pattern": "rings"})
    result = Scorer(ScorerInputs(photos, subject, photo_of=range(3)), encoders).scores(["subject_pattern"])
    assert result.by_image["subject_pattern"] == [1, 0, 1]


class ReadsShape:
    """A probe that reads one more parameter right with every picture, and the last picture as a cat."""

    def read(self, images):
        wrong = dict.fromkeys(SHAPES, "nothing")
        right = [dict(list(SHAPES.items())[:number]) for number in range(len(images))]
        kinds = ["mug"] * (len(images) - 1) + ["cat"]
        return [{"class": kind, **wrong, **known} for kind, known in zip(kinds, right, strict=True)]


def test_a_subject_s_shape_is_the_share_of_its_parameters_and_none_on_another_class():
    images = [image(RED, (size, size)) for size in range(4, 10)]
    photos = ScorerInputs(images, SHAPED, photo_of=range(6))
    result = Scorer(photos, Encoders({"probe": ReadsShape()})).scores(["subject_shape"])
    assert result.by_image["subject_shape"] == [0.0, 0.25, 0.5, 0.75, 1.0, 0.0]


def test_a_pattern_on_another_class_is_not_the_subject_s(encoders):
    subject = SubjectPhotos([image(RED)], [], [0], looks={"class": "cat", "pattern": "rings"})
    photos = ScorerInputs([image(RED)], subject, photo_of=range(1))
    assert Scorer(photos, encoders).scores(["subject_pattern"]).by_image["subject_pattern"] == [0]


def test_prompt_accuracy_by_attribute(encoders):
    result = scores(
        encoders,
        "prompt_accuracy",
        "prompt_accuracy_class",
        "prompt_accuracy_colour",
        "prompt_accuracy_background",
    )
    assert result.by_image["prompt_accuracy"] == [1.0, 0.5, 0.5, 0.5]
    assert result.by_prompt["prompt_accuracy_class"] == [1.0, 0.0]
    assert result.values["prompt_accuracy_colour"] == pytest.approx(0.75)
    assert result.values["prompt_accuracy_background"] is None
    assert result.notes["prompt_accuracy_background"] == "no prompt asks for background"


def test_an_attribute_requested_of_one_prompt_leaves_the_other_empty(encoders):
    result = scores(encoders, "prompt_accuracy_colour", requested=[{"colour": "red"}, {"class": "mug"}])
    assert result.by_prompt["prompt_accuracy_colour"] == [0.5, None]
    assert result.values["prompt_accuracy_colour"] == 0.5


def test_preservation_compares_class_images_with_photos(encoders):
    assert scores(encoders, "pres").values["pres"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        (
            "dino_heldout",
            {"subject": SubjectPhotos([image(RED)], [0], [])},
            "every photo of the subject is a shot",
        ),
        ("copying", {}, "needs renders of the subject in other scenes (Toybox only)"),
        ("subject_pattern", {}, "the subject's looks are not known (Toybox only)"),
        ("subject_pattern", {"subject": RINGED, "kinds": ["property"] * 2}, "no prompt is known to leave"),
        ("subject_shape", {}, "the subject's looks are not known (Toybox only)"),
        ("subject_shape", {"subject": SHAPED}, "the attribute probe does not read shape_1"),
        ("subject_pattern", {"subject": RINGED, "requested": [{}, {}]}, "no prompt is known to leave"),
        ("copying", {"subject": SubjectPhotos([image(RED)], [], [0])}, "nothing was learnt from photos"),
        ("prompt_accuracy", {"requested": [{}, {}]}, "ground truth is not known"),
        ("div", {}, "no LPIPS weights"),
        ("div_dino", {"images": [image(RED)] * 2, "prompt_of": [0, 1]}, "at least 2 pictures per prompt"),
        ("pres", {"prior": None}, "photos, not a model"),
        ("pres", {"prior": prior()}, r"drift.images is 0"),
    ],
)
def test_what_cannot_be_had_is_empty_with_a_reason(encoders, name, changes, reason):
    result = scores(encoders, name, **changes)
    assert result.values[name] is None
    assert reason in result.notes[name]


def test_without_an_encoder_its_scores_are_empty():
    result = Scorer(inputs(), Encoders({})).scores(["dino", "clip_t"])
    assert result.notes == {"dino": "no dino encoder", "clip_t": "no clip encoder"}


def test_every_registered_measure_is_computed_or_explained(encoders):
    scorer = Scorer(inputs(), encoders)
    wanted = [name for name, measure in MEASURES.items() if measure.kind == "score"]
    assert set(scorer.scores(wanted).values) == set(wanted)
    drift = {
        name for name, measure in MEASURES.items() if (measure.kind, measure.stage) == ("drift", "score")
    }
    assert set(scorer.drift().values) == drift
    assert set(Scorer(inputs(prior=None), encoders).drift().values) == drift


def test_drift_by_group_by_hand(encoders):
    some = prior("class", "class", "other", "empty")
    tuned = [image(BLUE), image(RED), image(RED), image(GREEN)]
    result = Scorer(inputs(prior=PriorImages(some.prompts, tuned, some.base, some.floor)), encoders).drift()
    expected = {
        "image_drift": 0.5,
        "image_drift_class": 0.5,
        "image_drift_other": 0.0,
        "image_drift_empty": 1.0,
    }
    assert {name: result.values[name] for name in expected} == pytest.approx(expected)
    assert result.values["prior_clip_t"] == pytest.approx(2 / 3), "the empty prompt has no text to follow"
    assert result.values["prior_clip_t_fall"] == pytest.approx(1 / 3)
    assert result.values["prior_clip_t_fall_class"] == pytest.approx(0.5)


def test_kid_of_an_unchanged_model_is_the_floor(encoders):
    hundred = prior(*["class"] * 100, tuned=RED, base=RED, floor=BLUE)
    result = Scorer(inputs(prior=hundred), encoders).drift()
    assert result.values["kid"] == result.values["kid_floor"] == pytest.approx(8 + 8 - 2 * 1)


def test_fidelity_in_context_leaves_out_prompts_that_change_the_subject(encoders):
    kinds = ["recontextualization", "property"]
    result = scores(encoders, "dino_heldout", "dino_context", kinds=kinds)
    first, second = result.by_prompt["dino_heldout"]
    assert first != second
    assert result.values["dino_context"] == first
    assert result.by_prompt["dino_context"] == [first, None]
    context = MEASURES["dino_context"].recovered
    asked = {"prompt_accuracy": [1.0, 1.0], "prompt_accuracy_colour": [None, 1.0]}
    assert context({**result.by_prompt, **asked}) == result.values["dino_context"]
    changed = scores(encoders, "dino_context", kinds=["property", "property"])
    assert changed.values["dino_context"] is None
    assert changed.notes["dino_context"] == "every prompt asks to change the subject"


def test_prior_accuracy_is_read_against_what_prior_prompts_asked_by_hand(encoders):
    read = encoders.readings([image(BLUE), image(RED)])
    blue, red = ({name: each[name] for name in ("class", "colour")} for each in read)
    assert blue != red and blue["class"] == red["class"]
    given = prior("class", "other", "empty", tuned=BLUE, base=RED)
    known = PriorImages(given.prompts, given.tuned, given.base, given.floor, [blue, red, {}])
    result = Scorer(inputs(prior=known), encoders).drift()
    assert result.values["prior_accuracy_class"] == 1.0
    assert result.values["prior_accuracy_other"] == 0.5
    assert result.values["prior_accuracy"] == 0.75
    assert result.by_image["prior_accuracy"] == [1.0, 0.5, None]
    # the base model: .5 of what the first asked for, all of the second
    assert result.values["prior_accuracy_fall_class"] == -0.5
    assert result.values["prior_accuracy_fall_other"] == 0.5
    assert result.values["prior_accuracy_fall"] == 0.0
    kept = known.of_group("other")
    assert kept.requested == [red]


def test_without_ground_truth_prior_accuracy_is_empty_with_the_reason(encoders):
    result = Scorer(inputs(), encoders).drift()
    for name in ("prior_accuracy", "prior_accuracy_fall_other"):
        assert result.values[name] is None
        assert result.notes[name] == "the prior prompts' ground truth is not known (Toybox only)"


def test_kid_needs_a_hundred_prior_images_and_so_does_each_group(encoders):
    few = Scorer(inputs(prior=prior(*["class"] * 99)), encoders).drift()
    assert few.values["kid"] is few.values["kid_floor"] is None
    assert few.notes["kid"] == "needs at least 100 prior pictures, not 99 (drift.images)"
    more = Scorer(inputs(prior=prior(*["class"] * 99, "empty")), encoders).drift()
    assert more.values["kid"] is not None
    assert more.notes["kid_class"] == "needs at least 100 prior pictures, not 99 (drift.images)"


def test_no_kid_is_over_empty_prompts():
    assert not {"kid_empty", "kid_floor_empty"} & set(MEASURES)
    assert {"kid_class", "kid_other"} <= set(MEASURES)


def test_no_image_is_embedded_twice(encoders):
    scorer = Scorer(inputs(), encoders)
    for _ in range(2):
        scorer.scores(["dino", "dino_heldout", "pres", "copying", "div_dino"])
        scorer.drift()
    distinct = {(RED, 4), (GREEN, 4), (RED, 5), (BLUE, 4)}
    assert encoders.features("dino").encoder.embedded == len(distinct)


def test_equal_images_have_the_same_row_bit_for_bit(encoders):
    rows = encoders.features("dino").of([image((12, 200, 7)), image((12, 200, 7)), image(RED)])
    assert torch.equal(rows[0], rows[1])


def test_ceiling_scores_photos_against_the_others(encoders):
    photos = [image(RED), image(RED, (5, 5)), image(BLUE)]
    ceiling = ScorerInputs(photos, SubjectPhotos(photos, [], [1, 2]), photo_of=range(3))
    result = Scorer(ceiling, encoders).scores(
        ["dino", "dino_heldout", "dino_context", "clip_t", "prompt_accuracy", "div_dino"]
    )
    assert result.values["dino_context"] == result.values["dino_heldout"]
    assert result.by_image["dino"] == pytest.approx([0.5, 0.5, 0.0])
    assert result.by_image["dino_heldout"] == pytest.approx([0.5, 0.0, 0.0])
    assert result.values["dino"] == pytest.approx(1 / 3)
    assert result.by_prompt == {}
    assert {result.notes[name] for name in ("clip_t", "prompt_accuracy", "div_dino")} == {
        "photos follow no prompt"
    }


def test_a_single_photo_has_no_ceiling(encoders):
    alone = ScorerInputs([image(RED)], SubjectPhotos([image(RED)], [], [0]), photo_of=[0])
    result = Scorer(alone, encoders).scores(["dino"])
    assert result.values["dino"] is None
    assert "single photo" in result.notes["dino"]
