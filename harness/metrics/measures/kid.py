"""KID: how far the distribution of a model's images of prior prompts has moved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.metrics.measure import GROUPS, IMAGES, Measure, Shown

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.metrics.scorer_inputs import Encoders, PriorImages, ScorerInputs

LEAST = 100
"""Prior images that an estimate needs: with fewer its noise is larger than what is to be seen."""
LARGE = tuple(group for group in GROUPS if group != "empty")
"""One prior prompt in eight is empty: too few."""


def tuned_to_base(inputs: ScorerInputs, encoders: Encoders) -> float:
    """KID between the tuned model's images and the base model's with other seeds."""
    prior = inputs.prior_images(at_least=LEAST)
    return _kid(prior, prior.tuned, encoders)


def base_to_base(inputs: ScorerInputs, encoders: Encoders) -> float:
    """KID between the base model's images and its own with other seeds."""
    prior = inputs.prior_images(at_least=LEAST)
    return _kid(prior, prior.base, encoders)


def _kid(prior: PriorImages, images: Sequence[Image], encoders: Encoders) -> float:
    from harness.metrics.scores.kid import kid

    dino = encoders.features("dino")
    return kid(dino.of(images), dino.of(prior.floor), gamma=1.0, paired=True)


ENTRIES = (
    Measure(
        name="kid",
        title="KID",
        unit="MMD²",
        direction="lower",
        kind="drift",
        version=3,
        encoder="dino",
        definition="Unbiased MMD² with the cubic kernel of KID, here (cosine + 1)³, between DINO features of "
        "the tuned model's prior images and of the base model's with other seeds, pairs of one prompt left "
        "out; an unchanged model is at the floor.",
        source="arXiv 1801.01401, §4",
        formula=tuned_to_base,
        per="prior group",
        sizes=IMAGES,
        shared=True,
        groups=LARGE,
        order=20,
        shown=Shown(table=100),
        noise_floor="kid_floor",
    ),
    Measure(
        name="kid_floor",
        title="KID floor",
        unit="MMD²",
        direction=None,
        kind="drift",
        version=3,
        encoder="dino",
        definition="KID between two samples of the base model with disjoint seeds.",
        formula=base_to_base,
        per="prior group",
        sizes=IMAGES,
        shared=True,
        groups=LARGE,
        order=30,
    ),
)
