"""Drift of the weights: how far fitting moved them from the pretrained ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.measure import Measure, Shown

if TYPE_CHECKING:
    from harness.metrics.scorer_inputs import MovedModel


def weight_l2(model: MovedModel) -> float:
    """‖Δθ‖₂ of the denoiser."""
    return model.distance.denoiser_l2


def weight_tensor_mean(model: MovedModel) -> float:
    """Σ_l ‖Δθ_l‖² / n_l over the denoiser's tensors."""
    return model.distance.tensor_mean


def token_l2(model: MovedModel) -> float | None:
    """‖Δtoken‖₂ of the trained token rows; None where no token is trained."""
    return model.distance.token_l2


ENTRIES = (
    Measure(
        name="weight_l2",
        title="‖Δθ‖₂",
        unit="L2",
        direction="lower",
        kind="drift",
        stage="sample",
        definition="L2 norm of the change of the denoiser's weights; of the effective change B·A for "
        "low-rank adapters; 0 for a method that leaves the denoiser alone.",
        formula=weight_l2,
        per="trial",
        order=10,
        shown=Shown(table=70, constraint=10, drift=20, progress=50),
    ),
    Measure(
        name="weight_tensor_mean",
        title="Σ mean Δθ²",
        unit="mean square",
        direction="lower",
        kind="drift",
        stage="sample",
        definition="Sum over the denoiser's tensors of their mean squared change.",
        source="arXiv 2505.19519, released code",
        formula=weight_tensor_mean,
        per="trial",
        order=20,
    ),
    Measure(
        name="token_l2",
        title="‖Δtoken‖₂",
        unit="L2",
        direction=None,
        kind="drift",
        stage="sample",
        definition="L2 norm of the change of the trained token rows from their first values; empty where no "
        "token is trained.",
        formula=token_l2,
        per="trial",
        order=30,
        empty="no token was taught",
    ),
)
