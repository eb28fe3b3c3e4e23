"""A trial's alignment as the trainer takes it: its encoders, loaded, as functions with gradients.

The only place where encoders and training meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.diffusion.alignment import FeatureAlignment
from harness.metrics.encoders.differentiable import differentiable
from harness.metrics.encoders.registry import revision
from harness.specs import EncoderSpec, Trial

Load = Callable[[EncoderSpec, str], Any]
"""A spec and the kind that it is wanted as → the encoder."""


def aligned_with(trial: Trial, scoring: Mapping[str, EncoderSpec]) -> dict[str, EncoderSpec]:
    """Return the encoders that a trial is trained on, by kind: those that score, unless others are named."""
    if trial.alignment is None:
        return {}
    models = trial.alignment.encoders
    return {
        kind: EncoderSpec(model=models[kind]) if kind in models else scoring[kind]
        for kind in trial.alignment.weights
    }


def alignment_of(trial: Trial, scoring: Mapping[str, EncoderSpec], load: Load) -> FeatureAlignment | None:
    """Load what a trial is aligned with; None where it is not."""
    if trial.alignment is None:
        return None
    weights = trial.alignment.weights
    terms = {
        kind: (weights[kind], differentiable(load(spec, kind)))
        for kind, spec in aligned_with(trial, scoring).items()
    }
    return FeatureAlignment(terms, trial.alignment.below)


def given_up(trial: Trial, scoring: Mapping[str, EncoderSpec]) -> frozenset[str]:
    """Return the kinds of encoder that score with the very weights that a trial was trained on."""
    trained = aligned_with(trial, scoring).items()
    return frozenset(
        kind for kind, spec in trained if kind in scoring and revision(spec) == revision(scoring[kind])
    )
