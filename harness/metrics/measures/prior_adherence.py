"""Whether the tuned model still follows prompts without the subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.metrics.measure import GROUPS, IMAGES, Measure, Missing, Shown, Values

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.metrics.scorer_inputs import Encoders, ScorerInputs

WITH_TEXT = tuple(group for group in GROUPS if group != "empty")
"""An empty text has nothing to follow."""


def prior_clip_t(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """Cosine of the tuned model's image of each prior prompt with its text; None for an empty text."""
    return _adherence(inputs, encoders)[0]


def prior_clip_t_fall(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """How much lower that cosine is than of the base model's image, same prompt and seed."""
    tuned, base = _adherence(inputs, encoders)
    return [None if t is None or b is None else b - t for t, b in zip(tuned, base)]


def _adherence(inputs: ScorerInputs, encoders: Encoders) -> tuple[Values, Values]:
    from harness.metrics.scores import similarity

    prior, clip = inputs.prior_images(), encoders.features("clip")
    written = [number for number, prompt in enumerate(prior.prompts) if prompt.text]
    if not written:
        raise Missing("every prior prompt is empty")
    texts = clip.of_texts([prior.prompts[number].text for number in written])

    def cosines(images: Sequence[Image]) -> Values:
        found = similarity.paired_cosine(clip.of([images[number] for number in written]), texts)
        by_number = dict(zip(written, found.tolist()))
        return [by_number.get(number) for number in range(len(images))]

    return cosines(prior.tuned), cosines(prior.base)


ENTRIES = (
    Measure(
        name="prior_clip_t",
        title="Prior CLIP-T",
        unit="cosine",
        direction="higher",
        kind="drift",
        encoder="clip",
        definition="CLIP-T of the tuned model's prior images (empty prompt left out).",
        formula=prior_clip_t,
        per="prior prompt",
        sizes=IMAGES,
        shared=True,
        groups=WITH_TEXT,
        order=40,
    ),
    Measure(
        name="prior_clip_t_fall",
        title="Fall of prior CLIP-T",
        unit="cosine",
        direction="lower",
        kind="drift",
        encoder="clip",
        definition="CLIP-T of the base model's prior images less the tuned model's, same prompts and seeds "
        "(empty prompt left out).",
        formula=prior_clip_t_fall,
        per="prior prompt",
        sizes=IMAGES,
        shared=True,
        groups=WITH_TEXT,
        order=50,
        shown=Shown(table=110),
    ),
)
