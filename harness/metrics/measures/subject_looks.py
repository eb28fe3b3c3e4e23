"""Subject fidelity where the subject's looks are known: whether images keep them, by the attribute probe."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from harness.metrics.measure import LOOKS, Measure, Missing, Shown, Values

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def kept(inputs: ScorerInputs, encoders: Encoders, *, looks: str) -> Values:
    """1 for each image off which the probe reads the subject's own looks, else 0; None: other looks asked."""
    if looks not in inputs.subject.looks:
        raise Missing("the subject's looks are not known (Toybox only)")
    counts = _keeping(inputs)
    if not any(counts):
        raise Missing("no prompt is known to leave the subject's looks alone")
    own = inputs.subject.looks[looks]
    readings = encoders.readings(inputs.images)
    return [float(read[looks] == own) if counted else None for read, counted in zip(readings, counts)]


def _keeping(inputs: ScorerInputs) -> list[bool]:
    """Say for each image whether the subject should look like itself: photos, and prompts that let it."""
    if inputs.photo_of is not None:
        return [True] * len(inputs.images)
    known = [
        bool(asked) and kind != "property" for asked, kind in zip(inputs.requested, inputs.kinds, strict=True)
    ]
    return [known[prompt] for prompt in inputs.prompt_of]


ENTRIES = tuple(
    Measure(
        name=f"subject_{name}",
        title=f"Subject {name}",
        unit="share",
        direction="higher",
        encoder="probe",
        definition=f"Share of images in which the attribute probe reads the subject's own {name}, over the "
        "prompts that do not ask for other looks (Toybox only).",
        formula=partial(kept, looks=name),
        per="image",
        order=55 + number,
        shown=Shown(table=25),
    )
    for number, name in enumerate(LOOKS)
)
