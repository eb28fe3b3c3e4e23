"""Which prior prompts are for what: the drift set, the calibration probe and the bank share none.

Knows texts alone: no images, no seeds, no model. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.specs import DriftSet

if TYPE_CHECKING:
    from harness.datasets.base import Dataset

Texts = Callable[[int], Mapping[str, Sequence[str]]]
"""n → n prior prompts by group; more n only adds."""

CALIBRATION_PROMPTS = {"class": 8, "other": 6, "empty": 2}
"""In the drift set's own shares, so that both means are of the same kind."""
MORE = 8
"""By how many prior prompts a data set is asked for more, and how often at most before that is an end."""
BANK_PROMPTS = 64


def calibration_texts(texts: Texts, drift: DriftSet) -> dict[str, list[str]]:
    """Choose prior prompts that the drift set does not contain, in its shares of groups.

    A data set that has run out of wordings lends some of the drift set's; the empty prompt has one wording.
    """
    asked = max(drift.prompts, drift.images)
    known = {text for group in texts(asked).values() for text in group}
    chosen: dict[str, list[str]] = {}
    for n in range(asked + MORE, asked + 16 * MORE, MORE):
        offered = texts(n)
        chosen = {
            group: [text for text in dict.fromkeys(offered[group]) if text not in known][:wanted]
            for group, wanted in CALIBRATION_PROMPTS.items()
            if group != "empty"
        }
        if all(len(found) == CALIBRATION_PROMPTS[group] for group, found in chosen.items()):
            break
    lent = texts(asked + sum(CALIBRATION_PROMPTS.values()) * MORE)
    filled = {
        group: [*found, *dict.fromkeys(lent[group])][: CALIBRATION_PROMPTS[group]]
        for group, found in chosen.items()
    }
    return filled | {"empty": [""] * CALIBRATION_PROMPTS["empty"]}


def spoken_for(dataset: Dataset, category: str, drift: DriftSet) -> set[str]:
    """Return every prompt that the drift set, the calibration probe or the class's bank holds."""
    texts = partial(dataset.prior_prompts, category)
    parts = texts(max(drift.prompts, drift.images)), calibration_texts(texts, drift)
    known = {text for part in parts for group in part.values() for text in group}
    return known | set(dataset.bank_prompts(category, BANK_PROMPTS))


def bank_texts(dataset: Dataset, category: str, drift: DriftSet) -> list[str]:
    """Return the 64 prompts of a class's bank; they depend on the data set and the class alone.

    Raises HarnessError where one of them is in the drift set or in the calibration probe: a method that
    learns from it would be judged by what it learnt.
    """
    texts = partial(dataset.prior_prompts, category)
    asked = max(drift.prompts, drift.images)
    probe = {
        text: "the calibration probe" for group in calibration_texts(texts, drift).values() for text in group
    }
    measured = {**probe, **{text: "the drift set" for group in texts(asked).values() for text in group}}
    chosen = dataset.bank_prompts(category, BANK_PROMPTS)
    for text in chosen:
        if text in measured:
            raise HarnessError(
                f"bank of {category!r}: {text!r} is in {measured[text]} too; lower drift.prompts ({asked})"
            )
    return chosen
