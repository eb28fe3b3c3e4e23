"""What is left of the prior, by ground truth: whether images without the subject show what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.metrics.measure import ATTRIBUTES, GROUPS, IMAGES, Measure, Missing, Values

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.metrics.scorer_inputs import Encoders, ScorerInputs

ASKING = tuple(group for group in GROUPS if group != "empty")
"""An empty text asks for nothing."""


def prior_accuracy(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """Share of what each prior prompt asked for that the probe reads; None for a prompt that asks nothing."""
    return _share_right(inputs.prior_images().tuned, _asked(inputs), encoders)


def prior_accuracy_fall(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """How much lower that share is than of the base model's image, same prompt and seed."""
    prior, asked = inputs.prior_images(), _asked(inputs)
    tuned, base = (_share_right(images, asked, encoders) for images in (prior.tuned, prior.base))
    return [None if t is None or b is None else b - t for t, b in zip(tuned, base)]


def _asked(inputs: ScorerInputs) -> list[dict[str, str]]:
    requested = inputs.prior_images().requested
    if not any(requested):
        raise Missing("the prior prompts' ground truth is not known (Toybox only)")
    return [{name: each[name] for name in ATTRIBUTES if name in each} for each in requested]


def _share_right(images: Sequence[Image], asked: Sequence[Mapping[str, str]], encoders: Encoders) -> Values:
    from harness.metrics.scores.prompt_accuracy import agreement, share_right

    readings = encoders.readings(images)
    return [share_right(agreement(wanted, read)) for wanted, read in zip(asked, readings, strict=True)]


READ = (
    "the attributes that a prior prompt asks for (class, background, colour, accessory), as the probe reads"
)

ENTRIES = (
    Measure(
        name="prior_accuracy",
        title="Prior accuracy",
        unit="share",
        direction="higher",
        kind="drift",
        encoder="probe",
        definition=f"Mean share of {READ} off the tuned model's image of it (Toybox only; "
        "empty prompt left out).",
        formula=prior_accuracy,
        per="prior prompt",
        sizes=IMAGES,
        shared=True,
        groups=ASKING,
        order=60,
        beside_images=True,
    ),
    Measure(
        name="prior_accuracy_fall",
        title="Fall of prior accuracy",
        unit="share",
        direction="lower",
        kind="drift",
        encoder="probe",
        definition="Prior accuracy of the base model's images less the tuned model's, same prompts and seeds "
        "(Toybox only; empty prompt left out).",
        formula=prior_accuracy_fall,
        per="prior prompt",
        sizes=IMAGES,
        shared=True,
        groups=ASKING,
        order=70,
    ),
)
