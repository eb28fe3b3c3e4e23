"""A class's bank shares no prompt with what drift is measured on, and holds half of the world."""

from functools import partial

import pytest

from harness.datasets import prompts as wording
from harness.datasets.base import DatasetError
from harness.datasets.toybox import ToyboxDataset
from harness.errors import HarnessError
from harness.specs import DriftSet
from harness.toybox.bank import bank_prompts, divided
from harness.toybox.captions import ACCESSORY_PHRASES
from harness.toybox.scenes.world import CLASSES
from harness.trial.prior_texts import bank_texts, calibration_texts


class Photos:
    """The texts of a data set of photos."""

    prior_prompts = staticmethod(wording.prior_prompts)
    bank_prompts = staticmethod(wording.bank_prompts)


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
