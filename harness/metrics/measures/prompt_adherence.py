"""Prompt adherence: whether images show what their prompts ask for, by CLIP and by the attribute probe."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from harness.metrics.measure import ATTRIBUTES, Measure, Missing, Remarked, Shown, Values

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def clip_t(inputs: ScorerInputs, encoders: Encoders) -> Values | Remarked:
    """Cosine of each image with the text of its prompt; a remark where CLIP cuts a text."""
    from harness.metrics.scores import similarity

    clip = encoders.features("clip")
    inputs.require_prompts()
    texts = clip.of_texts(inputs.texts)[list(inputs.prompt_of)]
    cosines = similarity.paired_cosine(clip.of(inputs.images), texts).tolist()
    if cut := clip.encoder.cut_texts(inputs.texts):
        return Remarked(cosines, "; ".join(cut))
    return cosines


def prompt_accuracy(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """Share of the requested attributes that the probe reads off each image."""
    from harness.metrics.scores.prompt_accuracy import share_right

    return [share_right(answer) for answer in _answers(inputs, encoders)]


def attribute_accuracy(inputs: ScorerInputs, encoders: Encoders, *, attribute: str) -> Values:
    """1 for each image off which the probe reads the requested attribute, else 0; None: not requested."""
    values = [answer.get(attribute) for answer in _answers(inputs, encoders)]
    if not any(value is not None for value in values):
        raise Missing(f"no prompt asks for {attribute}")
    return values


def _answers(inputs: ScorerInputs, encoders: Encoders) -> list[dict[str, float]]:
    from harness.metrics.scores.prompt_accuracy import agreement

    inputs.require_prompts()
    requested = [{name: each[name] for name in ATTRIBUTES if name in each} for each in inputs.requested]
    if not any(requested):
        raise Missing("the prompts' ground truth is not known (Toybox only)")
    readings = encoders.readings(inputs.images)
    return [agreement(requested[p], reading) for p, reading in zip(inputs.prompt_of, readings)]


COMPOSITION = "accessory"
"""The attribute that the base model is not sure of, so that its accuracy has room to fall."""

ACCURACY = "share of images in which the attribute probe reads what the prompt asked for"

ENTRIES = (
    Measure(
        name="clip_t",
        title="CLIP-T",
        unit="cosine",
        direction="higher",
        encoder="clip",
        definition="Mean raw cosine of image and prompt, the class noun in the subject's place by default.",
        source="DreamBooth, arXiv 2208.12242, §4.2",
        formula=clip_t,
        per="image",
        order=30,
        shown=Shown(table=30, shots=30, constraint=50, adherence=20, progress=40),
    ),
    Measure(
        name="prompt_accuracy",
        title="Prompt accuracy",
        unit="share",
        direction="higher",
        encoder="probe",
        definition=f"Mean over the attributes that a prompt asks for: {ACCURACY} (Toybox only).",
        formula=prompt_accuracy,
        per="image",
        order=100,
        shown=Shown(table=40, shots=40, constraint=60, adherence=10, accuracy=20),
    ),
    *(
        Measure(
            name=f"prompt_accuracy_{name}",
            title=f"Prompt accuracy: {name}",
            unit="share",
            direction="higher",
            encoder="probe",
            definition=f"For the attribute {name}: {ACCURACY} (Toybox only).",
            formula=partial(attribute_accuracy, attribute=name),
            per="image",
            order=101 + number,
            shown=Shown(merit=20) if name == COMPOSITION else Shown(),
        )
        for number, name in enumerate(ATTRIBUTES)
    ),
)
