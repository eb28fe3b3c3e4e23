"""Which setting is read at a budget, what is a family, when something dominates: eight subjects by hand."""

import pytest

from harness.errors import ConfigError
from harness.report.comparison.budgets import Reader, budgets_of
from harness.report.comparison.families import Splits, dominating, families
from harness.report.rows import select

SUBJECTS = tuple("abcdefgh")
SPREAD = dict(zip(SUBJECTS, (-0.02, 0.01, 0.0, 0.02, -0.01, 0.015, -0.015, 0.0)))
"""A subject's own ease, which pairing takes out."""
NOISE = dict(zip(SUBJECTS, (0.004, -0.003, 0.002, -0.004, 0.001, -0.002, 0.003, -0.001)))
BUDGET = {"kind": "budget", "measure": "noise_l2"}


def fits(
    make, method="dreambooth", *, drift, end=0.6, budgets=(2, 3, 4), gain=(0, 0, 0), subjects=SUBJECTS, **more
):
    """A setting's own end and its readouts; ``gain`` is what it has above others in the three scores."""
    found = []
    for s in subjects:
        for b in (None, *budgets):
            value = end if b is None else b / 10
            scores = {
                "dino_context": value + gain[0] + SPREAD[s] + NOISE[s] * bool(any(gain)),
                "prompt_accuracy_accessory": 1 - value + gain[1] + SPREAD[s],
            }
            moved = {
                "noise_l2": drift if b is None else min(drift, b),
                "prior_accuracy_other": 0.9 + gain[2] + SPREAD[s],
            }
            readout = None if b is None else {**BUDGET, "value": b}
            found.append(make(method, subject=s, scores=scores, drift=moved, readout=readout, **more))
    return found


def penalty(value):
    return {"penalty": value}


@pytest.fixture
def records(make):
    plain = fits(make, drift=9.0, params={"lr_decay": "linear"})
    strong = fits(make, drift=2.5, gain=(0.05, 0.1, 0.0), lipschitz=penalty(50.0), params={"lr": 1.0})
    weak = fits(make, drift=3.5, gain=(0.05, 0.1, 0.0), lipschitz=penalty(20.0), params={"lr": 1.0})
    return [*plain, *strong, *weak]


def reader_of(records, **more):
    return Reader(select(records).of("method"), **more)


def test_the_setting_whose_drift_is_nearest_below_the_budget_is_read(records):
    reader = reader_of(records)
    assert budgets_of(select(records)) == [2, 3, 4]
    read = {b: reader.read("dreambooth+penalty", b) for b in (2.0, 3.0, 4.0)}
    # λ = 50 drifts 2.5, λ = 20 drifts 3.5: none is below 2, so the one that drifts least is read there.
    assert [read[b].row.strength("penalty") for b in (2.0, 3.0, 4.0)] == [50, 50, 20]
    assert not any(found.at_end or found.developed for found in read.values())
    assert read[2.0].drift == 2.0


def test_drift_on_development_subjects_decides_where_it_is_known(records, make):
    other = [
        r.model_copy(update={"trial": {**r.trial, "subject": r.trial["subject"] + "-dev"}}) for r in records
    ]
    moved = [
        r.model_copy(
            update={"drift": {**r.drift, "noise_l2": 2.9 if r.trial["lipschitz"]["penalty"] == 20 else 2.5}}
        )
        for r in other
        if r.trial["lipschitz"]
    ]
    reader = reader_of(records, development=["a-dev", "b-dev"], tuned=select(moved).of("method"))
    found = reader.read("dreambooth+penalty", 3.0)
    assert found.row.strength("penalty") == 20 and found.developed


def test_without_a_readout_the_end_is_read_where_it_drifts_less(make):
    reader = reader_of(fits(make, drift=2.5, budgets=()))
    assert reader.read("dreambooth", 3.0).at_end
    assert reader.read("dreambooth", 2.0) is None


def test_a_merge_by_block_is_a_method_of_its_own_beside_plain_shrinking(make):
    shrunk = fits(make, drift=9.0)
    merged = [
        r.model_copy(
            update={
                "trial": {**r.trial, "readout": {**r.trial["readout"], "kind": "merge"}},
                "scores": {**r.scores, "dino_context": r.scores["dino_context"] + 0.05},
            }
        )
        for r in shrunk
        if r.trial.get("readout")
    ]
    reader = reader_of([*shrunk, *merged])
    assert reader.methods() == ["dreambooth", "dreambooth@merge"]
    plain, block = (reader.read(method, 3.0) for method in reader.methods())
    assert not plain.at_end and not block.at_end and plain.drift == block.drift == 3.0
    gains = {s: block.by_subject("dino_context")[s] - v for s, v in plain.by_subject("dino_context").items()}
    assert gains == pytest.approx(dict.fromkeys(SUBJECTS, 0.05))
    assert plain.settings == block.settings == 1


def test_q1_is_one_family_of_six_and_the_planted_gain_is_found(records):
    (q1,) = families(reader_of(records), "dreambooth", (2.0, 3.0, 4.0), Splits())
    assert q1.name == "Q1" and q1.tests == 6 and len(q1.pairs) == 3
    kinds = {pair.first.budget: [v.kind for v in pair.verdicts.values()] for pair in q1.pairs}
    assert set(map(tuple, kinds.values())) == {("better", "better", "same")}
    assert q1.pairs[0].verdicts["dino_context"].p == pytest.approx(6 * 2 / 256)
    assert all(pair.dominates and pair.share == 1.0 for pair in q1.pairs)
    assert dominating([q1]) == {"dreambooth+penalty": ([2.0, 3.0, 4.0], True)}


def test_a_departure_from_the_protocol_is_named(records):
    (loose,) = families(reader_of(records), "dreambooth", (2.0, 3.0, 4.0), Splits())
    assert "subjects other than those for confirmation" in loose.reasons
    assert "λ chosen on the subjects compared" in loose.reasons
    splits = Splits(frozenset(), frozenset(SUBJECTS))
    one = [r for r in records if not r.trial["lipschitz"] or r.trial["lipschitz"]["penalty"] == 50]
    (fixed,) = families(reader_of(one), "dreambooth", (2.0, 3.0, 4.0), splits)
    assert fixed.reasons == ()
    plain = [r.model_copy(update={"trial": {**r.trial, "params": {}}}) for r in one]
    (other,) = families(reader_of(plain), "dreambooth", (2.0, 3.0, 4.0), splits)
    assert other.reasons == ("no plain DreamBooth with lr_decay",)


def test_q2_is_every_method_against_the_penalty_at_the_middle_budget(records, make):
    lora = fits(make, "dreambooth_lora", drift=9.0, gain=(0.05, 0.1, -0.2))
    found = families(reader_of([*records, *lora]), "dreambooth+penalty", (2.0, 3.0, 4.0), Splits())
    assert [family.name for family in found] == ["dreambooth+penalty at 2", "Q2", "dreambooth+penalty at 4"]
    q2 = found[1]
    assert q2.tests == 6 and {pair.first.method for pair in q2.pairs} == {"dreambooth", "dreambooth_lora"}
    assert [v.kind for v in q2.pairs[1].verdicts.values()] == ["same", "same", "worse"]
    assert not any(enough for _, enough in dominating(found).values())


@pytest.mark.parametrize(("method", "marked"), [("dreambooth_lora", False), ("output_preservation", True)])
def test_what_trains_on_outputs_does_not_win_by_fidelity(records, make, method, marked):
    faithful = fits(make, method, drift=9.0, gain=(0.2, 0.1, 0.0))
    found = families(reader_of([*records, *faithful]), "dreambooth+penalty", (3.0,), Splits())
    (pair,) = [each for each in found[0].pairs if each.first.method == method]
    assert pair.verdicts["dino_context"].kind == "better"
    assert pair.on_outputs is marked
    assert pair.dominates is not marked


def test_two_common_subjects_are_one_line(make):
    records = [
        *fits(make, drift=9.0, subjects="ab"),
        *fits(make, drift=2.5, lipschitz=penalty(50.0), subjects="ab"),
    ]
    with pytest.raises(ConfigError, match="2 common subjects with dino_context at ‖Δε‖₂ ≤ 3, at least 3"):
        families(reader_of(records), "dreambooth", (3.0,), Splits())
