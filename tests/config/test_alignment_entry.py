"""Alignment as written: axes, other encoders, what is refused; and where a row that uses it is marked."""

from __future__ import annotations

import pytest
from fakes import FakeCatalog

from harness.api import Alignment
from harness.config import strict_yaml, titles
from harness.config.experiment import Experiment
from harness.errors import ConfigError
from harness.specs import EncoderSpec
from harness.sweep.grid import trials
from harness.sweep.worklist import Worklist
from harness.trial.aligned import aligned_with, given_up


def read(*methods):
    return strict_yaml.check(
        Experiment,
        {"name": "x", "subjects": ["s0"], "shots": 1, "methods": list(methods)},
        source="x.yaml",
    )


def expanded(*methods):
    return list(trials(read(*methods), FakeCatalog()))


def aligned(**alignment):
    return {"name": "tuned", "alignment": alignment}


def test_weights_and_levels_are_axes_and_0_is_none():
    found = expanded(aligned(dino=[0, 0.1], below=[0.4, 0.2]))
    assert [trial.alignment for trial in found] == [
        None,
        Alignment({"dino": 0.1}, 0.4),
        Alignment({"dino": 0.1}, 0.2),
    ]
    (both,) = expanded(aligned(clip=0.2, dino=0.1, encoders={"dino": "toybox-dino:1"}))
    assert both.alignment == Alignment({"clip": 0.2, "dino": 0.1}, 0.4, {"dino": "toybox-dino:1"})


def test_a_row_is_marked_in_its_title_its_label_and_its_record():
    plain, marked = expanded(
        {"name": "tuned", "lipschitz": {"penalty": 5}, "alignment": [None, {"dino": 0.1}]}
    )
    assert marked.title == "Tuned (align DINO 0.1 ‡, λ=5)"
    assert marked.label == "Tuned (align DINO 0.1 ‡)" and plain.label == "Tuned"
    summary = marked.summary()
    assert summary["alignment"] == {"dino": 0.1, "below": 0.4}
    assert "alignment" not in plain.summary()
    records = [{"dataset": "toybox", **each.summary()} for each in (plain, marked)]
    assert titles.title(records[1]) == "Tuned (align DINO 0.1 ‡) + Lipschitz λ=5"
    assert titles.setting(records[1])["alignment.dino"] == 0.1
    assert titles.identity(records[0]) != titles.identity(records[1])


def test_an_encoder_by_name_and_a_level_are_in_the_title():
    (trial,) = expanded(aligned(dino=0.1, below=0.2, encoders={"dino": "toybox-dino:1"}))
    assert trial.title == "Tuned (align DINO 0.1 by toybox-dino:1 below 0.2 ‡)"
    assert trial.summary()["alignment"]["dino_encoder"] == "toybox-dino:1"


def test_without_alignment_a_resolved_file_and_a_key_do_not_speak_of_it(tmp_path):
    experiment = read({"name": "tuned"})
    assert "alignment" not in experiment.model_dump(mode="json")["methods"][0]
    work = Worklist(experiment, FakeCatalog(), [], tmp_path)
    wanted = (None, {"dino": 0}, {"dino": 0.1}, {"dino": 0.2}, {"clip": 0.1})
    found = [expanded({"name": "tuned", "alignment": each})[0] for each in wanted]
    plain, zero, weak, strong, other = (work.keys(trial).fit for trial in found)
    assert plain == zero and len({plain, weak, strong, other}) == 4
    newer = Worklist(experiment, FakeCatalog(encoder="encoder-2"), [], tmp_path)
    (trial,) = expanded(aligned(dino=0.1))
    assert newer.keys(trial).fit != weak  # other weights of the encoder, another fit


@pytest.mark.parametrize(
    ("alignment", "words"),
    [
        ({}, "needs a weight: clip or dino"),
        ({"below": 0.2}, "needs a weight"),
        ({"dino": -1}, "greater than or equal to 0"),
        ({"dino": 1, "below": 0}, "greater than 0"),
        ({"dino": 1, "encoders": {"clip": "toybox-clip"}}, "encoders.clip needs a weight: clip"),
        ({"probe": 1}, "probe"),
    ],
)
def test_what_has_no_sense_is_refused_in_a_line(alignment, words):
    with pytest.raises(ConfigError, match=words):
        read(aligned(**alignment))


def test_a_method_that_does_not_train_the_denoiser_is_refused():
    with pytest.raises(ConfigError, match=r"methods\[0\].alignment: 'frozen' does not train the denoiser"):
        expanded({"name": "frozen", "alignment": {"dino": 1}})


def test_only_scores_by_the_very_encoder_are_given_up():
    scoring = {"dino": EncoderSpec(model="toybox-dino:2"), "clip": EncoderSpec(model="toybox-clip")}
    (same,) = expanded(aligned(dino=1))
    (other,) = expanded(aligned(dino=1, encoders={"dino": "toybox-dino:1"}))
    (named,) = expanded(aligned(dino=1, encoders={"dino": "toybox-dino:2"}))
    assert aligned_with(other, scoring) == {"dino": EncoderSpec(model="toybox-dino:1")}
    assert [given_up(trial, scoring) for trial in (same, other, named)] == [{"dino"}, set(), {"dino"}]
    (plain,) = expanded({"name": "tuned"})
    assert given_up(plain, scoring) == set() and aligned_with(plain, scoring) == {}
