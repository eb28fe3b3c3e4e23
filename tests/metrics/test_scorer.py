"""The score stage with encoders that can be reckoned by hand: an image's features are its mean colour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from harness.diffusion.weights.delta import Distance
from harness.metrics import scorer_inputs
from harness.metrics.registry import MEASURES
from harness.metrics.scorer import Scorer, drift_of_weights
from harness.metrics.scorer_inputs import (
    Encoders,
    MovedModel,
    PriorImages,
    PriorPrompt,
    ScorerInputs,
    SubjectPhotos,
)

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


def test_preservation_looks_at_no_other_prior_images(encoders):
    some = prior("class", "class", "other", "empty")
    tuned = [image(RED), image(GREEN), image(BLUE), image(BLUE)]
    given = PriorImages(some.prompts, tuned, some.base, some.floor)
    photos = SubjectPhotos([image(RED)], [0], [])
    assert scores(encoders, "pres", prior=given, subject=photos).values["pres"] == pytest.approx(1 / 2)


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


def test_kid_leaves_out_pairs_of_one_prompt(encoders):
    """Images that depend on the prompt alone: each set is 50 red and 50 blue, and no two sets differ."""
    prompts = prior(*["class"] * 100).prompts
    half = [image(RED)] * 50 + [image(BLUE)] * 50
    result = Scorer(inputs(prior=PriorImages(prompts, half, half, half)), encoders).drift()
    # Within: (2·50·49·8 + 2·50·50·1) / (100·99); across, without the pairs, the very same.
    assert result.values["kid"] == pytest.approx(0.0, abs=1e-12)
    assert result.values["kid_floor"] == pytest.approx(0.0, abs=1e-12)


def test_kid_compares_with_the_other_seeds_and_its_floor_the_base_model(encoders):
    """Kernels of unit vectors: 8 for one colour, 1 for two."""
    given = prior(*["class"] * 100, tuned=BLUE, base=RED, floor=RED)
    result = Scorer(inputs(prior=given), encoders).drift()
    assert result.values["kid"] == pytest.approx(8 + 8 - 2 * 1)
    assert result.values["kid_floor"] == pytest.approx(0.0)


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
    assert result.by_image.keys() == {"prior_accuracy", "image_drift"}  # beside the pictures of tuned models
    # the base model: .5 of what the first asked for, all of the second
    assert result.values["prior_accuracy_fall_class"] == -0.5
    assert result.values["prior_accuracy_fall_other"] == 0.5
    assert result.values["prior_accuracy_fall"] == 0.0
    kept = known.of_group("other")
    assert kept.requested == [red]


def test_a_probe_that_leaves_pictures_out_is_a_mistake():
    class ReadsOne:
        def read(self, images):
            return [{"class": "mug"}]

    prior_pictures = replace(prior("class", "other"), requested=[{"class": "mug"}] * 2)
    with pytest.raises(ValueError, match="shorter"):
        scores(Encoders({"probe": ReadsOne()}), "prior_accuracy", prior=prior_pictures)


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


class Pairs:
    """LPIPS in name: the distance of two pictures is how far their first pixels' red lies apart."""

    def pairwise(self, images):
        red = np.array([each.getpixel((0, 0))[0] / 255 for each in images])
        return abs(red[:, None] - red[None])


def test_lpips_diversity_is_the_mean_over_pairs_of_one_prompt(encoders):
    with_lpips = Encoders({"lpips": Pairs()})
    images = [image(RED), image(GREEN), image(GREEN), image(RED)]
    result = scores(with_lpips, "div", images=images, prompt_of=[0, 0, 0, 1])
    assert result.by_prompt["div"] == pytest.approx([2 / 3, None])
    assert result.values["div"] == pytest.approx(2 / 3)
    none = scores(encoders, "div").notes["div"]
    assert none == "no LPIPS weights (encoders: {lpips: {model: lpips-alex, checkpoint: FILE}})"


def test_a_prompt_without_a_second_picture_has_no_diversity(encoders):
    result = scores(encoders, "div_dino", images=[image(RED), image(BLUE), image(RED)], prompt_of=[0, 0, 1])
    assert result.by_prompt["div_dino"] == [1.0, None]


def test_reasons_say_what_is_missing(encoders):
    lone = {"images": [image(RED)] * 2, "prompt_of": [0, 1]}
    whole = {"subject": SubjectPhotos([image(RED)], [0], [])}
    expected = {
        "div_dino": (lone, "needs at least 2 pictures per prompt (sampling.images)"),
        "dino_heldout": (whole, "every photo of the subject is a shot of the experiment's largest draw"),
        "dino_context": (whole, "every photo of the subject is a shot of the experiment's largest draw"),
        "prompt_accuracy": ({"requested": [{}, {}]}, "the prompts' ground truth is not known (Toybox only)"),
        "pres": ({"prior": prior()}, "no prior pictures (drift.images is 0)"),
        "subject_pattern": (
            {"subject": RINGED, "kinds": ["property"] * 2},
            "no prompt is known to leave the subject's looks alone",
        ),
    }
    for name, (changes, reason) in expected.items():
        result = scores(encoders, name, **changes)
        assert (result.values[name], result.notes[name]) == (None, reason)


def test_without_a_probe_nothing_is_read():
    result = Scorer(inputs(), Encoders({"clip": MeanColour()})).scores(["prompt_accuracy", "dino_heldout"])
    assert result.notes == {"prompt_accuracy": "no attribute probe", "dino_heldout": "no dino encoder"}


def test_several_texts_that_were_cut_are_all_noted(encoders):
    result = scores(encoders, "clip_t", texts=["very red", "very long green"])
    assert result.notes["clip_t"] == "cut: very red; cut: very long green"
    assert scores(encoders, "clip_t").notes == {}


def test_context_without_kinds_is_all_prompts(encoders):
    result = scores(encoders, "dino_heldout", "dino_context", kinds=[])
    assert result.values["dino_context"] == result.values["dino_heldout"]


def test_context_of_an_older_record_needs_to_know_what_was_asked():
    context = MEASURES["dino_context"].recovered
    known = {"dino_heldout": [0.2, 0.8], "prompt_accuracy": [1.0, 1.0]}
    assert context(known) == pytest.approx(0.5)
    assert context({**known, "prompt_accuracy_colour": [0.0, None]}) == 0.8
    assert context({"dino_heldout": [0.2]}) is context({"prompt_accuracy": [1.0]}) is None
    with pytest.raises(ValueError, match="shorter"):
        context({**known, "prompt_accuracy_colour": [None]})


def test_image_drift_pairs_each_prior_image_with_the_base_model_s(encoders):
    some = prior("class", "other")
    given = PriorImages(
        some.prompts, [image(RED), image(GREEN)], [image(RED), image(BLUE)], [image(BLUE)] * 2
    )
    result = Scorer(inputs(prior=given), encoders).drift()
    assert (result.values["image_drift_class"], result.values["image_drift_other"]) == (0.0, 1.0)
    assert result.by_image["image_drift"] == [0.0, 1.0]


def test_prior_clip_t_follows_the_tuned_model_and_leaves_out_empty_texts(encoders):
    prompts = [PriorPrompt("other", text, i, 100 + i) for i, text in enumerate(["", "a red", "a blue"])]
    tuned, base = [image(RED), image(RED), image(RED)], [image(RED), image(GREEN), image(BLUE)]
    result = Scorer(inputs(prior=PriorImages(prompts, tuned, base, base)), encoders).drift()
    assert result.values["prior_clip_t"] == pytest.approx(0.5)
    assert result.values["prior_clip_t_fall"] == pytest.approx(((0 - 1) + (1 - 0)) / 2)
    empty = PriorImages(prompts[:1], tuned[:1], base[:1], base[:1])
    nothing = Scorer(inputs(prior=empty), encoders).drift()
    assert (
        nothing.notes["prior_clip_t"] == nothing.notes["prior_clip_t_fall"] == "every prior prompt is empty"
    )


def test_a_group_without_prompts_is_empty_with_the_reason(encoders):
    result = Scorer(inputs(prior=prior("class", "other")), encoders).drift()
    assert result.values["image_drift_empty"] is None
    assert result.notes["image_drift_empty"] == "no prior prompt of the group 'empty' (drift.images)"


def moved(**changes):
    """Two prompts at two timesteps, noise [1, 1, 2]: that of the first moves by 3 and 4, the other by 0."""
    prompts = [PriorPrompt("class", "a", 0, 1), PriorPrompt("other", "b", 2, 3)]
    base = torch.zeros(4, 1, 1, 2)
    tuned = base.clone()
    tuned[0, 0, 0, 0], tuned[1, 0, 0, 1] = 3.0, 4.0
    given = {
        "distance": Distance(5.0, 2.0, 0.25, None, None),
        "prompts": prompts,
        "tuned": tuned,
        "base": base,
    }
    return MovedModel(**{**given, **changes})


def test_noise_drift_by_hand():
    found = drift_of_weights(moved())
    assert found["noise_l2"] == pytest.approx(3.5 / 2)
    assert (found["noise_l2_class"], found["noise_l2_other"], found["noise_l2_empty"]) == (3.5, 0.0, None)
    assert found["noise_mse"] == pytest.approx((9 + 16) / 2 / 4)
    assert found["lipschitz_ratio"] == pytest.approx(3.5 / 2 / 2.0)
    assert (found["weight_l2"], found["weight_tensor_mean"], found["token_l2"]) == (2.0, 0.25, None)
    assert "noise_l2_subject" not in found


def test_the_shift_on_the_subject_by_hand():
    tuned = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    found = drift_of_weights(moved(subject=(tuned, torch.zeros(2, 2))))
    assert found["noise_l2_subject"] == pytest.approx(3.0)


def test_an_unmoved_model_has_no_ratio():
    found = drift_of_weights(moved(distance=Distance(0.0, 0.0, 0.0, 0.5, None)))
    assert found["lipschitz_ratio"] is None and found["token_l2"] == 0.5


def test_the_features_last_used_are_kept(encoders, monkeypatch):
    monkeypatch.setattr(scorer_inputs, "KEPT_FEATURES", 2)
    dino = encoders.features("dino")
    for colour in (RED, GREEN, RED, BLUE):  # green goes: red was used after it
        dino.of([image(colour)])
    assert dino.encoder.embedded == 3
    dino.of([image(RED), image(BLUE)])
    assert dino.encoder.embedded == 3
    dino.of([image(GREEN)])
    assert dino.encoder.embedded == 4


def test_pictures_of_equal_bytes_and_other_sizes_are_told_apart(encoders):
    wide = Image.new("RGB", (8, 2), RED)
    dino = encoders.features("dino")
    dino.of([wide, image(RED), wide])
    assert dino.encoder.embedded == 2


def test_texts_are_no_images_and_features_are_shared_by_kind(encoders):
    clip = encoders.features("clip")
    assert encoders.features("clip") is clip is not encoders.features("dino")
    assert clip.of_texts(["a red", "a blue"]).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_a_probe_reads_the_same_images_once():
    class Counting(ReadsColour):
        calls = 0

        def read(self, images):
            self.calls += 1
            return super().read(images)

    probe = Counting()
    encoders = Encoders({"probe": probe})
    first = encoders.readings([image(RED), image(BLUE)])
    assert encoders.readings([image(RED), image(BLUE)]) == first and probe.calls == 1
    assert [each["colour"] for each in encoders.readings([image(BLUE)])] == ["blue"] and probe.calls == 2
