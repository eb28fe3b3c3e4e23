"""experiments/equal_drift.yaml, on invented numbers: what it will be read as was settled before it is run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from harness import records
from harness.config import experiment
from harness.records import Record
from harness.report.comparison.budgets import Reader
from harness.report.comparison.families import Splits, decays, families
from harness.report.comparison.protocol import BUDGETS, PENALTY, PLAIN
from harness.report.rows import select
from harness.report.tables.best_settings import chosen, ranked
from harness.sweep.grid import trials
from harness.toybox.confirmation import confirmation
from harness.toybox.subjects import subjects

ROOT = Path(__file__).parents[3]
ENDS = {200: 3.7, 500: 2.9, 2000: 1.8, 229: 3.9}
"""Invented: ‖Δε‖₂ at the end of a fit with a penalty."""
OWN = {"token_lora": 0.0, "dreambooth_lora": 3.9, "output_preservation": 3.5}


def drift_of(trial) -> float:
    constraint = trial.lipschitz.settings() if trial.lipschitz else {}
    if constraint.get("output_bound"):
        return 3.0
    if constraint.get("norm") == "activation":
        return 5.8
    decays = trial.params.get("lr_decay") == "linear"
    return ENDS.get(constraint.get("penalty")) or OWN.get(trial.method, 3.55 if decays else 4.7)


@cache
def loaded():
    return experiment.load(ROOT / "experiments" / "equal_drift.yaml")


@pytest.fixture(scope="module")
def invented() -> list[Record]:
    found = []
    for number, trial in enumerate(trials(loaded())):
        end, readout = drift_of(trial), trial.readout
        drift = end if readout is None else min(end, readout.value)
        ease = 0.001 * (sum(map(ord, trial.subject + trial.title)) % 17)
        found.append(
            Record(
                key=f"{number:016}",
                keys={"fit": "f", "sample": "s", "score": "s"},
                status="done",
                trial={**loaded().described(), **trial.summary()},
                scores={"dino_context": 0.4 + ease, "prompt_accuracy_accessory": 0.8 - ease},
                drift={"noise_l2": drift, "prior_accuracy_other": 0.9 + ease},
                provenance={"commit": "a" * 40},
            )
        )
    return found


@pytest.fixture(scope="module")
def asked(invented):
    """Method set against → its families, as ``harness compare … --tuned-on tuning-penalty`` makes them."""
    development = frozenset(each.name for each in subjects() if each.split == "dev")
    tuned = select(records.read(ROOT / "results" / "tuning-penalty")).of("method")
    reader = Reader(select(invented).of("method"), development=development, tuned=tuned)
    splits = Splits(development, frozenset(each.name for each in confirmation()))
    return {against: families(reader, against, BUDGETS, splits) for against in (PLAIN, PENALTY)}


def family(asked, against, name):
    (found,) = (each for each in asked[against] if each.name == name)
    return found


def test_the_first_question_is_asked_as_the_protocol_fixed_it(asked):
    first = family(asked, PLAIN, "Q1")
    assert first.reasons == () and first.tests == 6
    assert [(pair.first.budget, pair.first.row.strength("penalty")) for pair in first.pairs] == [
        (2.0, 2000.0),
        (3.0, 500.0),
        (4.0, 200.0),
    ]
    assert all(pair.first.row.setting["params.steps"] == 50 for pair in first.pairs)
    assert {pair.second.row.setting["params.lr"] for pair in first.pairs} == {2.7e-4}
    assert {v.contrast.difference.n for pair in first.pairs for v in pair.verdicts.values()} == {32}


def test_the_second_question_is_asked_of_every_row_at_the_middle_budget(asked):
    second = family(asked, PENALTY, "Q2")
    assert second.reasons == () and second.tests == 3 * len(second.pairs)
    assert {pair.first.method for pair in second.pairs} == {
        "dreambooth",
        "dreambooth_lora",
        "output_preservation",
        "dreambooth+penalty:activation",
        "dreambooth+output_bound",
        "token_lora",
        "dreambooth+penalty+alignment",
    }
    assert {(pair.second.budget, pair.second.row.strength("penalty")) for pair in second.pairs} == {
        (3.0, 500.0)
    }


def test_every_method_but_two_is_read_at_every_budget(asked):
    read = {}
    for each in asked[PENALTY]:
        for pair in each.pairs:
            read.setdefault(pair.first.method, {})[pair.first.budget] = pair.first.at_end
    # read out at the middle budget alone: at 4 the fit's own end stands for it, at 2 nothing does
    once = {"dreambooth+penalty+alignment", "dreambooth+output_bound"}
    for method, at in read.items():
        assert at == ({3.0: False, 4.0: True} if method in once else dict.fromkeys(BUDGETS, False))


def test_rows_have_the_settings_that_the_searches_took():
    """Those that presets do not hold: plain DreamBooth with decay, λ for each budget, the bound's recipe."""
    found = {trial.title: trial for trial in trials(loaded()) if trial.readout is None}
    plain = [
        group
        for group in ranked(records.read(ROOT / "results" / "tuning-search"))
        if group[0].row.method == "dreambooth"
        and not group[0].row.kind
        and not group[0].row.setting.get("params.prior_weight")
    ]
    taken = [chosen([each for each in group if decays(each.row)]).row for group in plain]
    assert [(row.setting["params.lr"], row.setting["params.steps"]) for row in taken] == [(2.7e-4, 50)]
    bound = next(t for t in found.values() if t.lipschitz and t.lipschitz.settings().get("output_bound"))
    preserved = next(t for t in found.values() if t.method == "output_preservation")
    recipe = ("steps", "batch", "lr")
    assert [bound.params[name] for name in recipe] == [preserved.params[name] for name in recipe]
    tuned = select(records.read(ROOT / "results" / "tuning-penalty")).of("method")
    drifts = {row.strength("penalty"): row.cells["noise_l2"].mean for row in tuned}
    nearest = {b: max((d, p) for p, d in drifts.items() if d <= b)[1] for b in BUDGETS}
    assert nearest == {2.0: 2000, 3.0: 500, 4.0: 200}
