"""The ceiling that answers, as a trial: the subject rendered as its prompts ask, scored like samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness import methods
from harness.datasets.registry import load_dataset
from harness.metrics.encoders.registry import default_encoders
from harness.metrics.registry import MEASURES
from harness.specs import BackboneSpec, DatasetSpec, DriftSet, Sampling, Trial
from harness.trial.images import from_png
from harness.trial.plan import Keys, Plan
from harness.trial.worker import Worker

TOYBOX = BackboneSpec(name="toybox")
SUBJECT = "mint-duck"


def quiet(*said):
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def worker(cache):
    return Worker(
        backbone=TOYBOX,
        dataset=DatasetSpec(name="toybox"),
        encoders=default_encoders(TOYBOX),
        cache=cache,
        threads=1,
    )


@pytest.fixture(scope="module")
def plan():
    trial = Trial(
        backbone=TOYBOX,
        method="real_asked",
        title="Real, as asked",
        params={},
        lipschitz=None,
        subject=SUBJECT,
        shots=0,
        seed=0,
        sampling=Sampling(steps=2, prompts=5, images=2),
    )
    return Plan(
        trial=trial,
        drift=DriftSet(prompts=2, timesteps=1, images=2),
        scores=tuple(name for name, measure in MEASURES.items() if measure.kind == "score"),
        precision="fp32",
        keep_weights="small",
        keys=Keys("f" * 16, "a" * 16, "b" * 16),
    )


@pytest.fixture(scope="module")
def outcome(worker, plan):
    return worker.run(plan, quiet)


def test_there_are_as_many_images_as_a_method_samples_and_each_is_of_the_subject(outcome):
    assert outcome.status == "done", outcome.error
    assert outcome.images == 10
    images = [from_png(data) for name, data in outcome.artifacts.items() if name.startswith("pictures/")]
    assert len({image.tobytes() for image in images}) == 10
    assert not any(name.startswith("prior/") for name in outcome.artifacts)


def test_it_answers_and_keeps_the_subject(outcome):
    assert outcome.scores["prompt_accuracy_class"] == outcome.scores["prompt_accuracy_background"] == 1.0
    assert outcome.scores["subject_pattern"] >= 0.75
    assert outcome.scores["dino_heldout"] > 0.5
    assert len(outcome.by_prompt["clip_t"]) == 5


def test_it_is_the_floor_of_copying_against_every_photo_that_could_be_learnt_from(outcome):
    assert outcome.scores["copying"] <= 0.1
    assert "copying" not in outcome.notes


def test_no_model_is_measured(outcome):
    assert set(outcome.drift.values()) == {None}
    assert outcome.notes["noise_l2"] == outcome.notes["kid"] == "photos, not a model"


def test_saved_images_score_alike(worker, plan, outcome):
    saved = {n: data for n, data in outcome.artifacts.items() if n.startswith(("pictures/", "fit.json"))}
    again = worker.run(replace(plan, stage="score", saved=saved), quiet)
    assert again.status == "done", again.error
    assert (again.scores, again.by_prompt) == (outcome.scores, outcome.by_prompt)


def test_it_is_skipped_where_nothing_can_be_rendered():
    method = methods.load("real_asked")()
    subject = load_dataset("toybox").shots(SUBJECT, 0, 0)
    assert method.skip(subject, "sd") is None
    assert "cannot render 'mint-duck'" in method.skip(replace(subject, renderable=False), "sd")
