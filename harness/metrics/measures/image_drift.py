"""Drift of the images of prior prompts, in pairs: same prompt, same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.measure import GROUPS, IMAGES, Measure, Shown, Values

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def image_drift(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """1 − cosine of the tuned and the base model's image of each prior prompt."""
    from harness.metrics.scores import similarity

    prior, dino = inputs.prior_images(), encoders.features("dino")
    return similarity.paired_distance(dino.of(prior.tuned), dino.of(prior.base)).tolist()


ENTRIES = (
    Measure(
        name="image_drift",
        title="Image drift",
        unit="1 − cosine",
        direction="lower",
        kind="drift",
        encoder="dino",
        definition="Mean 1 − cosine of DINO features of the base and the tuned model's images of the same "
        "prior prompt and seed.",
        formula=image_drift,
        per="prior prompt",
        sizes=IMAGES,
        shared=True,
        groups=GROUPS,
        order=10,
        shown=Shown(table=90, constraint=30, drift=30),
        beside_images=True,
    ),
)
