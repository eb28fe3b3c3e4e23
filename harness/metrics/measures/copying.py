"""Copying: whether images repeat a training shot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.measure import Measure, Missing, Shown, Values

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def copying(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """Largest cosine of each image to a shot, less what real photos reach."""
    from harness.metrics.scores import similarity

    dino, subject = encoders.features("dino"), inputs.subject
    if not subject.shots:
        raise Missing("nothing was learnt from photos")
    photos = dino.of(subject.photos)
    shots = photos[list(subject.shots)]
    unseen = photos[[number for number in range(len(subject.photos)) if number not in subject.shots]]
    ceiling = similarity.copying_ceiling(shots, unseen)
    if ceiling is None:
        raise Missing("the subject has a single photo: nothing to compare copying with")
    return (similarity.nearest_shot(dino.of(inputs.images), shots) - ceiling).tolist()


ENTRIES = (
    Measure(
        name="copying",
        title="Copying",
        unit="cosine",
        direction=None,
        encoder="dino",
        definition="Mean over images of the largest DINO similarity to a training shot, less the same for "
        "real photos that are no shots (each shot against the others, where every photo is one): above 0, "
        "images repeat a shot more closely than the subject's photos resemble each other, and far below it "
        "they do not show the subject: neither end is better by itself.",
        formula=copying,
        per="image",
        order=90,
        shown=Shown(table=60, shots=50),
    ),
)
