"""PRES: whether the class has become the subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.measure import Measure, Missing, Shown

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def preservation(inputs: ScorerInputs, encoders: Encoders) -> float:
    """Mean cosine of the tuned model's images of the class and the subject's photos."""
    from harness.metrics.scores import similarity

    of_class = inputs.prior_images().of_group("class").tuned
    if not of_class:
        raise Missing("no prior picture of the class (drift.images)")
    dino = encoders.features("dino")
    return similarity.preservation(dino.of(of_class), dino.of(inputs.subject.photos))


ENTRIES = (
    Measure(
        name="pres",
        title="PRES",
        unit="cosine",
        direction="lower",
        encoder="dino",
        definition="Mean pairwise DINO similarity of the tuned model's images of the plain class and the "
        "subject's photos: high when the class has become the subject.",
        source="DreamBooth, arXiv 2208.12242, §4.3",
        formula=preservation,
        per="trial",
        order=60,
        shown=Shown(table=50),
        needs_model=True,
    ),
)
