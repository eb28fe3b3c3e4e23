"""Copying: whether images repeat the scene of a training shot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.measure import Measure, Missing, Shown, Values

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def copying(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """1 for each image that lies nearer to a shot than to every render of the subject elsewhere, else 0."""
    from harness.metrics.scores.copying import copies, thumbnails

    subject = inputs.subject
    if not subject.shots:
        raise Missing("nothing was learnt from photos")
    if not subject.elsewhere:
        raise Missing("needs renders of the subject in other scenes (Toybox only)")
    shots = thumbnails([subject.photos[number] for number in subject.shots])
    return copies(thumbnails(inputs.images), shots, thumbnails(subject.elsewhere)).tolist()


ENTRIES = (
    Measure(
        name="copying",
        title="Copying",
        unit="share",
        direction=None,
        version=2,
        definition="Share of images whose nearest training shot is nearer than the nearest of 200 renders of "
        "the subject in other scenes, in pixels at 16 × 16 (Toybox only): 1 for an exact copy of a shot; "
        "real_asked, which never saw a shot, is the floor. Neither end is better by itself: an image "
        "that does not show the subject copies nothing.",
        formula=copying,
        per="image",
        order=90,
        shown=Shown(table=60, shots=50),
    ),
)
