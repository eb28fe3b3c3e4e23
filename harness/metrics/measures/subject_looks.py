"""Subject fidelity where the subject's looks are known: whether images keep them, by the attribute probe."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from harness.metrics.measure import LOOKS, Measure, Missing, Shown, Values

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def kept(inputs: ScorerInputs, encoders: Encoders, *, parts: tuple[str, ...]) -> Values:
    """How many of a look's parts the probe reads off each image as the subject's, [0, 1].

    0 for an image that it reads as another class; None: other looks asked.
    """
    own = inputs.subject.looks
    if not {"class", *parts} <= set(own):
        raise Missing("the subject's looks are not known (Toybox only)")
    counts = _keeping(inputs)
    if not any(counts):
        raise Missing("no prompt is known to leave the subject's looks alone")
    readings = encoders.readings(inputs.images)
    if not set(parts) <= set(readings[0]):
        raise Missing(f"the attribute probe does not read {parts[0]}")
    return [_agreement(read, own, parts) if counted else None for read, counted in zip(readings, counts)]


def _agreement(read: Mapping[str, str], own: Mapping[str, str], parts: tuple[str, ...]) -> float:
    same = sum(read[part] == own[part] for part in parts)
    return same / len(parts) if read["class"] == own["class"] else 0.0


def _keeping(inputs: ScorerInputs) -> list[bool]:
    """Say for each image whether the subject should look like itself: photos, and prompts that let it."""
    if inputs.photo_of is not None:
        return [True] * len(inputs.images)
    known = [bool(asked) and kind != "property" for asked, kind in zip(inputs.requested, inputs.kinds)]
    return [known[prompt] for prompt in inputs.prompt_of]


ENTRIES = (
    Measure(
        name="subject_pattern",
        title="Subject pattern",
        unit="share",
        direction="higher",
        version=2,
        encoder="probe",
        definition="Share of images in which the attribute probe reads the subject's own class and pattern, "
        "over the prompts that do not ask for other looks (Toybox only).",
        formula=partial(kept, parts=LOOKS["pattern"]),
        per="image",
        order=55,
        shown=Shown(table=25),
    ),
    Measure(
        name="subject_shape",
        title="Subject shape",
        unit="share",
        direction="higher",
        encoder="probe",
        definition="Share of the subject's four shape parameters whose third of the range the attribute "
        "probe reads, 0 in images that it reads as another class, over the prompts that do not ask for other "
        "looks (Toybox only). A shape at random has a third.",
        formula=partial(kept, parts=LOOKS["shape"]),
        per="image",
        order=56,
        shown=Shown(table=26),
    ),
)
