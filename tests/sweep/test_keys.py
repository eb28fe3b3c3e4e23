"""Keys: equal content, equal key; a change redoes its own stage and what follows, never what came before."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api import Alignment, Lipschitz
from harness.metrics.registry import MEASURES
from harness.specs import BackboneSpec, DriftSet, Readout, Sampling, Trial
from harness.sweep import keys
from harness.sweep.keys import Fingerprints, digest
from harness.trial.plan import Keys

FINGERPRINTS = Fingerprints(
    backbone="b",
    method_version=1,
    method_source=None,
    shots="s",
    prompts="p",
    references="r",
    encoders={"clip": "c", "dino": "d", "probe": "q", "lpips": "l"},
)
TRIAL = Trial(
    backbone=BackboneSpec(name="toybox"),
    method="tuned",
    title="Tuned",
    params={"lr": 0.001, "steps": 10},
    lipschitz=Lipschitz(penalty=1.0),
    subject="s0",
    shots=3,
    seed=0,
)
SETTINGS: dict[str, Any] = {"drift": DriftSet(), "scores": ("clip_t", "dino"), "precision": "fp32"}

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(plain)
def test_order_of_keys_does_not_matter(value):
    assert digest(value) == digest(shuffled(value))


@given(plain, plain)
def test_different_content_has_different_keys(one, other):
    assert (digest(one) == digest(other)) == same(one, other)


def same(one: Any, other: Any) -> bool:
    """Whether two values mean the same in JSON, where 1.0 is 1 and true is not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def test_values_of_other_types_or_places_have_other_keys():
    values = [None, False, 0, "", "0", [], {}, [0], [[0]], {"0": 0}, {"a": [1, 2]}, {"a": [2, 1]}, [1, [2]]]
    assert len({digest(value) for value in values}) == len(values)


@given(st.integers(-(2**53), 2**53))
def test_a_whole_float_is_its_integer(number):
    assert digest({"lr": number}) == digest({"lr": float(number)})


def test_true_is_not_one():
    assert digest({"a": True}) != digest({"a": 1})


def test_nan_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"lr": float("nan")})


def all_keys(trial: Trial = TRIAL, facts: Fingerprints = FINGERPRINTS, **changes: Any) -> Keys:
    return keys.Keyer(**(SETTINGS | changes)).keys(trial, facts)


def changed(one: Keys, other: Keys) -> set[str]:
    return {stage for stage in ("fit", "sample", "score") if getattr(one, stage) != getattr(other, stage)}


ALL, LATER, LAST, NONE = {"fit", "sample", "score"}, {"sample", "score"}, {"score"}, set()


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"params": {"lr": 0.002, "steps": 10}}, ALL),
        ({"params": {"steps": 10, "lr": 0.001}}, NONE),
        ({"lipschitz": None}, ALL),
        ({"lipschitz": Lipschitz(penalty=1.0, norm="sum")}, ALL),
        ({"lipschitz": Lipschitz(bound=1.0)}, ALL),
        ({"alignment": Alignment({"dino": 0.1})}, ALL),
        ({"method": "other"}, ALL),
        ({"subject": "s1"}, ALL),
        ({"seed": 1}, ALL),
        ({"backbone": BackboneSpec(name="toybox", options={"text_encoder_3": None})}, ALL),
        ({"backbone": BackboneSpec(name="another name", path="of the same weights")}, NONE),
        ({"title": "Another name"}, NONE),
        ({"sampling": Sampling(steps=21)}, LATER),
        ({"sampling": Sampling(sampler="dpm")}, LATER),
        ({"sampling": Sampling(guidance=7.5)}, LATER),
        ({"sampling": Sampling(prompts=3)}, LATER),
        ({"sampling": Sampling(images=2)}, LATER),
        ({"sampling": Sampling(seed=1)}, LATER),
        ({"sampling": Sampling(precision="bf16")}, LATER),
        ({"sampling": Sampling(precision=None)}, NONE),
        ({"sampling": Sampling(clip_text="raw")}, LAST),
    ],
)
def test_a_change_of_the_trial_redoes_its_stage_and_what_follows(change, redone):
    assert changed(all_keys(), all_keys(TRIAL.model_copy(update=change))) == redone


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"backbone": "b2"}, ALL),
        ({"shots": "s2"}, ALL),
        ({"method_version": 2}, ALL),
        ({"method_source": "hash"}, ALL),
        ({"prompts": "p2"}, LATER),
        ({"references": "r2"}, LAST),
        ({"encoders": {**FINGERPRINTS.encoders, "clip": "c2"}}, LAST),
        ({"encoders": {**FINGERPRINTS.encoders, "probe": "q2"}}, LAST),  # it reads the prior images
        ({"encoders": {**FINGERPRINTS.encoders, "lpips": "l2"}}, NONE),  # no such score was asked for
    ],
)
def test_a_change_of_the_world_redoes_its_stage_and_what_follows(change, redone):
    assert changed(all_keys(), all_keys(facts=dataclasses.replace(FINGERPRINTS, **change))) == redone


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"precision": "bf16"}, ALL),
        ({"drift": DriftSet(prompts=8)}, LATER),
        ({"drift": DriftSet(subject=True)}, LATER),
        ({"drift": DriftSet(subject=False)}, NONE),
        ({"scores": ("clip_t",)}, LAST),
        ({"scores": ("dino", "clip_t")}, NONE),
    ],
)
def test_a_change_of_the_experiment_redoes_its_stage_and_what_follows(change, redone):
    assert changed(all_keys(), all_keys(**change)) == redone


def test_a_measure_of_an_option_is_in_no_key_while_the_option_is_off(monkeypatch):
    off, on = all_keys(), all_keys(drift=DriftSet(subject=True))
    raised = dataclasses.replace(MEASURES["noise_l2_subject"], version=99)
    monkeypatch.setitem(MEASURES, "noise_l2_subject", raised)
    assert all_keys() == off
    assert changed(on, all_keys(drift=DriftSet(subject=True))) == LATER


@pytest.mark.parametrize(
    ("name", "redone"), [("dino", LAST), ("image_drift", LAST), ("clip_i", NONE), ("noise_l2", LATER)]
)
def test_a_new_version_of_a_measure_redoes_only_what_computes_it(monkeypatch, name, redone):
    before = all_keys()
    monkeypatch.setitem(MEASURES, name, dataclasses.replace(MEASURES[name], version=99))
    assert changed(before, all_keys()) == redone


def test_a_new_version_of_trainer_or_sampling_redoes_it(monkeypatch):
    before = all_keys()
    monkeypatch.setattr(keys, "SAMPLING_VERSION", 99)
    assert changed(before, all_keys()) == LATER
    monkeypatch.setattr(keys, "TRAINER_VERSION", 99)
    assert changed(before, all_keys()) == ALL


def test_a_new_version_of_calibration_redoes_what_is_held_within_a_drift(monkeypatch):
    limited = [
        TRIAL.model_copy(update={"readout": Readout(kind="budget", value=3.0, measure="noise_l2")}),
        TRIAL.model_copy(update={"lipschitz": Lipschitz.of({"output_bound": 3.0})}),
    ]
    free = [TRIAL, TRIAL.model_copy(update={"readout": Readout(kind="scale", value=0.5)})]
    before = [all_keys(trial) for trial in (*limited, *free)]
    monkeypatch.setattr(keys, "CALIBRATION_VERSION", 99)
    after = [all_keys(trial) for trial in (*limited, *free)]
    assert [changed(*pair) for pair in zip(before, after, strict=True)] == [LATER, LATER, NONE, NONE]


def test_the_sampling_of_before_is_in_records_as_it_was():
    assert "precision" not in Sampling().model_dump()


def test_a_users_method_is_known_by_its_name_wherever_it_lies():
    here, there = (
        TRIAL.model_copy(update={"method": "/a/mine.py"}),
        TRIAL.model_copy(update={"method": "b/mine.py"}),
    )
    assert all_keys(here) == all_keys(there)
