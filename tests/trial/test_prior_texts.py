"""A class's bank shares no prompt with what drift is measured on, and holds half of the world."""

from functools import partial
from itertools import pairwise

import pytest

from harness.datasets import prompts as wording
from harness.datasets.base import DatasetError
from harness.datasets.toybox import ToyboxDataset
from harness.errors import HarnessError
from harness.specs import DriftSet
from harness.toybox.bank import bank_prompts, divided
from harness.toybox.captions import ACCESSORY_PHRASES
from harness.toybox.scenes.world import CLASSES
from harness.trial.prior_texts import bank_texts, calibration_texts, spoken_for


class Photos:
    """The texts of a data set of photos."""

    prior_prompts = staticmethod(wording.prior_prompts)
    bank_prompts = staticmethod(wording.bank_prompts)
    drawn_prompts = staticmethod(wording.drawn_prompts)


@pytest.mark.parametrize("category", ["mug", "cat", "robot"])
@pytest.mark.parametrize("dataset", [ToyboxDataset(), Photos()], ids=["toybox", "photos"])
def test_a_bank_shares_no_prompt_with_drift_set_and_probe(dataset, category):
    drift = DriftSet(prompts=96)
    bank = bank_texts(dataset, category, drift)
    texts = partial(dataset.prior_prompts, category)
    measured = {text for group in texts(96).values() for text in group}
    measured |= {text for group in calibration_texts(texts, drift).values() for text in group}
    assert len(set(bank)) == 64 and not set(bank) & measured
    assert sum(f" {category}" in text for text in bank) == 32
    assert dataset.bank_prompts(category, 10) == bank[:10]


@pytest.mark.parametrize("category", CLASSES)
def test_a_bank_of_toybox_holds_half_of_the_other_classes_and_three_accessories(category):
    part, prompts = divided(category), bank_prompts(category, 64)
    assert {prompt.attributes["category"] for prompt in prompts} == set(part.classes)
    assert len(part.classes) == 1 + (len(CLASSES) - 1) // 2
    assert {prompt.attributes.get("accessory") for prompt in prompts} == {None, *part.accessories}
    assert len(part.held_out_accessories) == 2
    assert {*part.accessories, *part.held_out_accessories} == set(ACCESSORY_PHRASES)
    assert {*part.classes, *part.held_out_classes} == set(CLASSES)
    of_held_out = [ACCESSORY_PHRASES[each] for each in part.held_out_accessories]
    assert not any(phrase in prompt.text_template for phrase in of_held_out for prompt in prompts)


def test_a_prompt_that_drift_is_measured_on_is_refused_in_one_line():
    class Sharing(Photos):
        @staticmethod
        def bank_prompts(category, n):
            return ["a photo of a dog", *wording.bank_prompts(category, n - 1)]

    with pytest.raises(
        HarnessError, match=r"^bank of 'dog': 'a photo of a dog' is in the drift set too;[^\n]*$"
    ):
        bank_texts(Sharing(), "dog", DriftSet())


def test_wordings_for_photos_have_an_end():
    assert len(set(wording.bank_prompts("dog", 96))) == 96
    with pytest.raises(DatasetError, match="there are wordings for 96"):
        wording.bank_prompts("dog", 97)


@pytest.mark.parametrize("category", ["mug", "cat"])
@pytest.mark.parametrize("dataset", [ToyboxDataset(), Photos()], ids=["toybox", "photos"])
def test_drawn_prompts_are_in_no_drift_set_probe_or_bank(dataset, category):
    drift = DriftSet()
    known = spoken_for(dataset, category, drift)
    assert known >= {"", *bank_texts(dataset, category, drift)}
    assert known >= {text for group in dataset.prior_prompts(category, 64).values() for text in group}
    drawn = dataset.drawn_prompts(category, 600, seed=0, without=known)
    assert len(drawn) == 600 and not {each.text for each in drawn} & known
    of_class = [each for each in drawn if each.group == "class"]
    assert 240 < len(of_class) < 360  # 300 ± 5 standard deviations
    assert all(f" {category}" in each.text for each in of_class)
    assert not any(each.text.endswith(f" {category}") for each in drawn if each.group == "other")
    assert dataset.drawn_prompts(category, 50, seed=0, without=known) == drawn[:50]
    assert dataset.drawn_prompts(category, 50, seed=1, without=known) != drawn[:50]
    dice = [a.group == b.group for a, b in pairwise(drawn)]
    assert 240 < sum(dice) < 360  # the next group does not depend on the one before


def test_drawn_prompts_of_toybox_know_what_they_ask_for():
    for each in ToyboxDataset().drawn_prompts("mug", 40, seed=0, without=()):
        assert (each.truth["class"] == "mug") == (each.group == "class")
        assert each.truth["class"] in each.text and each.truth.get("colour", "") in each.text
        assert set(each.truth) <= {"class", "colour", "background", "accessory"}


def test_wordings_that_ran_out_are_said_in_one_line():
    every = {each.format("dog") for each in (*wording.PRIOR_WORDINGS, *wording.BANK_WORDINGS)}
    with pytest.raises(DatasetError, match=r"^every wording of 'dog' is in the drift set or the bank"):
        wording.drawn_prompts("dog", 8, seed=0, without=every)
