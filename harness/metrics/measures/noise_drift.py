"""Drift of the noise predictions, on prior prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.measure import GROUPS, Measure, Shown, Values

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import MovedModel


def noise_l2(model: MovedModel) -> Values:
    """‖ε_θ − ε_θ0‖₂ of each prior prompt, averaged over timesteps."""
    from harness.metrics.scores.noise_drift import noise_distance

    distances = noise_distance(model.tuned, model.base)
    return distances.reshape(len(model.prompts), -1).mean(axis=1).tolist()


def noise_mse(model: MovedModel) -> float | None:
    """Mean squared change of the noise prediction, over all prompts and timesteps."""
    from harness.metrics.scores import noise_drift
    from harness.metrics.scores.averages import mean

    return mean(noise_drift.noise_mse(model.tuned, model.base).tolist())


def lipschitz_ratio(model: MovedModel) -> float | None:
    """‖Δε‖₂ / ‖Δθ‖₂; None where Δθ = 0."""
    from harness.metrics.scores import noise_drift
    from harness.metrics.scores.averages import mean

    moved = mean(noise_l2(model))
    assert moved is not None
    return noise_drift.lipschitz_ratio(moved, model.distance.denoiser_l2)


PROBE = "prior prompts × stratified timesteps, fixed noises, on the base model's own samples"
SIZES = "{prompts} prior prompts × {timesteps} timesteps"

ENTRIES = (
    Measure(
        name="noise_l2",
        title="‖Δε‖₂",
        unit="L2",
        direction="lower",
        kind="drift",
        stage="sample",
        sizes=SIZES,
        shared=True,
        definition=f"Mean over {PROBE}, of ‖ε_θ − ε_θ0‖₂ per sample, conditional branch.",
        formula=noise_l2,
        per="prior prompt",
        groups=GROUPS,
        order=40,
        shown=Shown(table=80, shots=60, constraint=20, drift=10),
    ),
    Measure(
        name="noise_mse",
        title="MSE Δε",
        unit="mean square",
        direction="lower",
        kind="drift",
        stage="sample",
        sizes=SIZES,
        shared=True,
        definition=f"Mean over {PROBE}, of the mean squared change of the noise prediction.",
        formula=noise_mse,
        per="trial",
        order=50,
    ),
    Measure(
        name="lipschitz_ratio",
        title="‖Δε‖₂ / ‖Δθ‖₂",
        unit="ratio",
        direction=None,
        kind="drift",
        stage="sample",
        sizes=SIZES,
        shared=True,
        definition="noise_l2 / weight_l2, an empirical Lipschitz constant of the denoiser in its weights; "
        "empty where Δθ = 0.",
        source="arXiv 2505.19519, Theorem 2",
        formula=lipschitz_ratio,
        per="trial",
        order=60,
        empty="Δθ = 0",
    ),
)
