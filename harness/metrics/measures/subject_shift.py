"""The shift on the new task itself: noise predicted for the subject, against that for the class before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.measure import Measure

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import MovedModel


def noise_l2_subject(model: MovedModel) -> float | None:
    """‖ε_θ(z_t, t, subject) − ε_θ0(z_t, t, class)‖₂, averaged over test prompts and timesteps."""
    from harness.metrics.scores.averages import mean
    from harness.metrics.scores.noise_drift import noise_distance

    assert model.subject is not None
    return mean(noise_distance(*model.subject).tolist())


ENTRIES = (
    Measure(
        name="noise_l2_subject",
        title="‖Δε‖₂, subject",
        unit="L2",
        direction=None,
        kind="drift",
        stage="sample",
        definition="Mean over test prompts × stratified timesteps of ‖ε_θ − ε_θ0‖₂ per sample, the tuned "
        "model asked for the subject and the base model for its class, on the base model's samples of the "
        "latter, fixed noises (drift: {subject: true}).",
        source="arXiv 2509.04259",
        formula=noise_l2_subject,
        per="trial",
        order=70,
        option="subject",
    ),
)
