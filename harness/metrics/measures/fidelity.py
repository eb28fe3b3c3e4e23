"""Subject fidelity: how close images come to photos of the subject, by CLIP and by DINO."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from harness.metrics.measure import Measure, Missing, Shown, Values

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def to_all_photos(inputs: ScorerInputs, encoders: Encoders, *, encoder: str) -> Values:
    """Mean cosine of each image with all photos of the subject."""
    return _fidelity(inputs, encoders, encoder, range(len(inputs.subject.photos)))


def to_held_out_photos(inputs: ScorerInputs, encoders: Encoders, *, encoder: str) -> Values:
    """Mean cosine of each image with the photos that no method learns from."""
    encoders.features(encoder)
    if not inputs.subject.references:
        raise Missing("every photo of the subject is a shot")
    return _fidelity(inputs, encoders, encoder, inputs.subject.references)


def _fidelity(inputs: ScorerInputs, encoders: Encoders, encoder: str, chosen: Sequence[int]) -> Values:
    import numpy as np

    from harness.metrics.scores import similarity

    features, same = encoders.features(encoder), None
    if inputs.photo_of is not None:
        same = np.equal.outer(np.asarray(inputs.photo_of), np.asarray(chosen))
    cosines = similarity.similarity_to_references(
        features.of(inputs.images), features.of(inputs.subject.photos)[list(chosen)], same
    )
    return [None if math.isnan(value) else value for value in cosines.tolist()]


MATRIX = "Mean cosine over the full matrix generated × real photos of the subject"
DREAMBOOTH = "DreamBooth, arXiv 2208.12242, §4.2"

ENTRIES = (
    Measure(
        name="clip_i",
        title="CLIP-I",
        unit="cosine",
        direction="higher",
        encoder="clip",
        definition=f"{MATRIX}, CLIP image features.",
        source=DREAMBOOTH,
        formula=partial(to_all_photos, encoder="clip"),
        per="image",
        order=10,
        shown=Shown(progress=30),
    ),
    Measure(
        name="dino",
        title="DINO",
        unit="cosine",
        direction="higher",
        encoder="dino",
        definition=f"{MATRIX}, DINO class token.",
        source=DREAMBOOTH,
        formula=partial(to_all_photos, encoder="dino"),
        per="image",
        order=20,
        shown=Shown(progress=20),
    ),
    Measure(
        name="clip_i_heldout",
        title="CLIP-I held out",
        unit="cosine",
        direction="higher",
        encoder="clip",
        definition="CLIP-I against photos that no method trains on; empty where every photo is a shot.",
        formula=partial(to_held_out_photos, encoder="clip"),
        per="image",
        order=40,
        shown=Shown(table=20, shots=20),
        stand_in="clip_i",
    ),
    Measure(
        name="dino_heldout",
        title="DINO held out",
        unit="cosine",
        direction="higher",
        encoder="dino",
        definition="DINO against photos that no method trains on; empty where every photo is a shot.",
        formula=partial(to_held_out_photos, encoder="dino"),
        per="image",
        order=50,
        shown=Shown(table=10, shots=10, constraint=40, fidelity=10, progress=10, merit=10),
        stand_in="dino",
    ),
)
