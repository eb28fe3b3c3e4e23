"""A trial that is aligned with an encoder trains on it, and is not judged by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from harness import methods
from harness.api import Alignment
from harness.metrics.registry import MEASURES
from harness.specs import DriftSet, Sampling, Trial
from harness.trial.plan import Keys, Plan

SCORES = tuple(name for name, measure in MEASURES.items() if measure.kind == "score")


@pytest.fixture
def outcome(worker, spec):
    """Carry out a trial with an alignment."""

    def run(alignment):
        params = {"steps": 2, "batch": 1, "lr": 1e-3}
        trial = Trial(
            backbone=spec,
            method="dreambooth",
            title="x",
            params=methods.resolve_params(methods.load("dreambooth"), params, spec.name),
            alignment=alignment,
            subject="rex",
            shots=2,
            seed=0,
            sampling=Sampling(steps=2, prompts=2, images=1, guidance=2.0),
        )
        drift = DriftSet(prompts=8, timesteps=2, images=4)
        return worker.run(
            Plan(trial, drift, SCORES, "fp32", "none", Keys("f" * 16, "a" * 16, "b" * 16)), lambda *told: None
        )

    return run


def test_scores_of_the_encoder_that_was_trained_on_are_empty_with_the_reason(outcome):
    plain, aligned = outcome(None), outcome(Alignment({"dino": 1.0}, 1.0))
    assert aligned.status == plain.status == "done"
    assert aligned.drift["weight_l2"] != plain.drift["weight_l2"]  # it was trained on
    for name, measure in MEASURES.items():
        if measure.kind != "score":
            continue
        if measure.encoder == "dino":
            assert aligned.scores[name] is None
            assert aligned.notes[name] == "trained on the dino encoder that scores (alignment)"
        else:
            assert aligned.scores.keys() >= {name}
            assert (aligned.scores[name] is None) == (plain.scores[name] is None)
    assert plain.scores["dino"] is not None and aligned.scores["clip_i"] is not None
    assert aligned.drift["image_drift"] is not None  # how far from the base model, not how like the shots


def test_outlines_are_drawn_for_aligned_trials_alone_and_change_their_weights(outcome, worker, monkeypatch):
    unmasked = outcome(Alignment({"dino": 1.0}, 1.0))
    drawn, shots = [], worker._dataset.shots

    def outlined(subject, count, seed):
        found = shots(subject, count, seed)

        def outlines():
            drawn.append(len(found.shots))
            return [Image.new("L", shot.size, 255 * (number == 0)) for number, shot in enumerate(found.shots)]

        return replace(found, outlines=outlines)

    plain = outcome(None)
    monkeypatch.setattr(worker._dataset, "shots", outlined)
    assert outcome(None).drift["weight_l2"] == plain.drift["weight_l2"] and drawn == []
    masked = outcome(Alignment({"dino": 1.0}, 1.0))
    assert drawn == [2] and masked.status == "done"
    assert masked.drift["weight_l2"] != unmasked.drift["weight_l2"]
