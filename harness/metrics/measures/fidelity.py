"""Subject fidelity: how close images come to photos of the subject, by CLIP and by DINO."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
        raise Missing("every photo of the subject is a shot of the experiment's largest draw")
    return _fidelity(inputs, encoders, encoder, inputs.subject.references)


def to_held_out_photos_in_context(inputs: ScorerInputs, encoders: Encoders, *, encoder: str) -> Values:
    """Mean cosine of each image with held-out photos; None where its prompt asks to change the subject."""
    values = to_held_out_photos(inputs, encoders, encoder=encoder)
    if inputs.photo_of is not None:
        return values
    changed = [bool(inputs.kinds) and inputs.kinds[prompt] == CHANGES for prompt in inputs.prompt_of]
    if all(changed):
        raise Missing("every prompt asks to change the subject")
    return [None if other else value for value, other in zip(values, changed)]


def context_of_record(by_prompt: Mapping[str, Values]) -> float | None:
    """Average DINO held out over the prompts of which none asks for a colour, the one change on Toybox.

    None where the record does not say what its prompts ask for.
    """
    from harness.metrics.scores.averages import mean

    if "dino_heldout" not in by_prompt or "prompt_accuracy" not in by_prompt:
        return None
    values = by_prompt["dino_heldout"]
    asked = by_prompt.get("prompt_accuracy_colour") or [None] * len(values)
    return mean([value for value, colour in zip(values, asked, strict=True) if colour is None])


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


CHANGES = "property"
"""The kind of prompt that asks for another look of the subject."""

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
        shown=Shown(table=10, shots=10, constraint=40, fidelity=10, progress=10, accuracy=10),
        stand_in="dino",
    ),
    Measure(
        name="dino_context",
        title="DINO in context",
        unit="cosine",
        direction="higher",
        encoder="dino",
        definition="DINO against photos that no method trains on, over the prompts that do not ask to change "
        "the subject; of photos, DINO held out.",
        formula=partial(to_held_out_photos_in_context, encoder="dino"),
        per="image",
        order=55,
        shown=Shown(merit=10),
        recovered=context_of_record,
    ),
)
