"""Subjects drawn by rule: off the vocabulary, none alike, the same for ever, without end; the others stay."""

from __future__ import annotations

import colorsys
import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from harness import records
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.datasets.base import DatasetError
from harness.datasets.registry import load_dataset
from harness.errors import ConfigError
from harness.sweep.grid import trials
from harness.toybox import confirmation as rule
from harness.toybox.scenes.patterns import HELDOUT_PATTERNS
from harness.toybox.scenes.world import CLASSES, COLOURS, colour_name, lab
from harness.toybox.subjects import references, shots, subjects

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def drawn():
    return rule.confirmation()


def hue(rgb):
    return 360 * colorsys.rgb_to_hsv(*rgb)[0]


def test_they_lie_off_the_vocabulary_as_the_listed_ones_do(drawn):
    named = [hue(rgb) for rgb in COLOURS.values() if 1 - min(rgb) / max(rgb) > 0.1]
    for each in drawn:
        assert each.look.pattern in HELDOUT_PATTERNS
        assert all(min(value, 1 - value) <= 0.1 for value in each.look.shape)
        assert each.look.colours == (None, None, None)
        for rgb in each.look.palette:
            assert 1 - min(rgb) / max(rgb) > 0.3
            assert colour_name(rgb) is None
            assert min(abs((hue(rgb) - other + 180) % 360 - 180) for other in named) >= 15


def test_none_are_alike_nor_like_a_listed_one(drawn):
    everyone = [*subjects(), *drawn]
    assert len({each.name for each in everyone}) == 20 + 32
    for one, other in combinations(everyone, 2):
        if one.split == other.split != "confirmation":
            continue
        assert rule.look_distance(one.look, other.look) >= rule.LOOK_GAP
        pairs = zip(one.look.palette, other.look.palette, strict=True)
        colours = np.mean([np.linalg.norm(lab(a) - lab(b)) for a, b in pairs])
        assert colours >= (20 if one.category == other.category else 5), (one.name, other.name)


def test_the_distance_of_looks_by_hand(drawn):
    look = drawn[0].look
    assert rule.look_distance(look, look) == 0
    other = type(look).from_dict({**look.to_dict(), "pattern": "rings", "shape": [1 - s for s in look.shape]})
    moved = np.mean([abs(1 - 2 * s) for s in look.shape])
    assert rule.look_distance(look, other) == pytest.approx(10 * (look.pattern != "rings") + 25 * moved)
    elsewhere = type(look).from_dict({**look.to_dict(), "category": "mug", "shape": [0.5] * 4})
    assert rule.look_distance(look, elsewhere) == 25


def test_classes_come_in_turn_and_a_larger_count_only_adds(drawn):
    categories = [each.category for each in drawn]
    assert set(categories[:15]) == set(categories[15:30]) == set(CLASSES)
    assert categories[:15] != categories[15:30]
    more = rule.confirmation(40)
    assert more[:32] == drawn and len({each.name for each in more}) == 40


def test_a_subject_is_the_same_in_a_process_that_asks_for_it_alone(drawn):
    code = (
        "from harness.toybox.confirmation import named; import json;"
        f"print(json.dumps([s.to_dict() for s in named({drawn[20].name!r}).photos], sort_keys=True))"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert json.loads(told) == json.loads(json.dumps([scene.to_dict() for scene in drawn[20].photos]))


def test_where_no_look_is_far_enough_the_distance_gives_way(drawn, monkeypatch):
    monkeypatch.setattr(rule, "PATIENCE", 2)
    monkeypatch.setattr(rule, "LOOK_GAP", 1e4)
    look = rule._unlike(np.random.default_rng(0), "mug", [each.look for each in drawn])
    assert look.category == "mug"


def test_photos_are_of_one_instance_and_references_have_other_backgrounds(drawn):
    for each in drawn:
        assert not {s.background for s in shots(each)} & {r.background for r in references(each)}
        assert len({(s.category, s.shape, s.palette, s.pattern) for s in each.photos}) == 1


def test_the_listed_subjects_are_what_the_committed_records_were_made_of():
    toybox = load_dataset("toybox")
    (revision,) = {r.provenance["data_revision"] for r in records.read(RESULTS / "toybox_floors")}
    assert toybox.revision == revision
    assert len(toybox.subjects()) == 20


def experiment(**settings):
    return strict_yaml.check(Experiment, {"name": "x", "methods": ["frozen"], **settings}, source="x.yaml")


def test_an_experiment_takes_as_many_as_it_asks_for(drawn):
    names = [each.name for each in drawn]
    for wanted, count in (("confirmation", 32), ({"split": "confirmation", "count": 35}, 35)):
        found = [trial.subject for trial in trials(experiment(subjects=wanted))]
        assert len(found) == count and found[:32] == names
    chosen = ["mint-duck", names[4]]
    assert [trial.subject for trial in trials(experiment(subjects=chosen))] == chosen
    near = names[4][:-1] + "x"
    with pytest.raises(ConfigError, match=f"unknown subject '{near}'; did you mean '{names[4]}'"):
        trials(experiment(subjects=[near]))


def test_a_name_that_the_rule_does_not_give_is_unknown(drawn):
    toybox = load_dataset("toybox")
    assert toybox.category(drawn[3].name) == drawn[3].category
    for name in ("steel-mug-01", "mug-0", "confirmation", "mug-9999"):
        with pytest.raises(DatasetError, match="unknown subject"):
            toybox.category(name)
