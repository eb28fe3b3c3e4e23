"""Toybox as a data set: splits, photos, ground truth, and what needs no torch."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
import torch
from PIL import Image

from harness.api import Prompt
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.datasets.base import DatasetError, chosen_prompts
from harness.datasets.registry import load_dataset
from harness.errors import ConfigError
from harness.metrics.registry import ATTRIBUTES
from harness.sweep.catalog import Installed
from harness.sweep.grid import trials
from harness.toybox import subjects
from harness.toybox.scenes.backdrops import BACKDROPS


@pytest.fixture(scope="module")
def toybox(tmp_path_factory):
    return load_dataset("toybox", cache=tmp_path_factory.mktemp("cache"))


def test_splits(toybox):
    development, test = toybox.subjects("development"), toybox.subjects("test")
    assert (len(development), len(test)) == (4, 16)
    assert toybox.subjects() == development + test
    with pytest.raises(DatasetError, match="did you mean 'test'"):
        toybox.subjects("tests")


def test_shots_come_from_the_first_six_and_references_never_change(toybox):
    name = toybox.subjects("test")[0]
    for seed in range(5):
        for shots in (0, 1, 3, 6):
            assert set(toybox.shot_names(name, shots, seed)) <= {f"{i:02d}" for i in range(6)}
            assert toybox.reference_names(name, shots, seed) == [f"{i:02d}" for i in range(6, 12)]
    with pytest.raises(DatasetError, match="has 6 photos to learn from, 7 shots are requested"):
        toybox.check([name], [7])


def test_photos_are_rendered_once_and_shots_are_among_them(tmp_path, monkeypatch):
    rendered = []

    def fake_render(scenes, *, size):
        rendered.extend(scenes)
        level = sum(scenes[0].background.encode()) % 256
        return torch.full((1, 3, size, size), level, dtype=torch.uint8)

    monkeypatch.setattr("harness.toybox.scenes.render.render", fake_render)
    first, second = (load_dataset("toybox", cache=tmp_path) for _ in range(2))
    name = first.subjects("development")[0]
    subject = first.shots(name, 2, 0)
    assert len(rendered) == 2
    photos = second.photos(name)
    assert len(rendered) == 12
    assert [photo.size for photo in photos] == [(64, 64)] * 12
    expected = [photos[int(number)] for number in first.shot_names(name, 2, 0)]
    assert [shot.tobytes() for shot in subject.shots] == [photo.tobytes() for photo in expected]
    assert subject.category in subject.description


def test_outlines_of_the_shots_are_traced_when_asked_for(toybox, monkeypatch):
    from harness.toybox.scenes import outlines

    traced = []
    trace = outlines.trace
    monkeypatch.setattr(outlines, "trace", lambda scene, *rays: traced.append(scene) or trace(scene, *rays))
    subject = toybox.shots("mint-duck", 3, 1)
    assert traced == [] and toybox.shots("mint-duck", 0, 0).outlines() == []
    found = subject.outlines()
    toy = next(each for each in subjects.subjects() if each.name == "mint-duck")
    assert traced == [toy.photos[int(number)] for number in toybox.shot_names("mint-duck", 3, 1)]
    assert [(each.size, each.mode) for each in found] == [((64, 64), "L")] * 3
    assert [each.tobytes() for each in found] == [
        each.numpy().tobytes() for each in outlines.outlines(traced[:3])
    ]


def test_a_data_set_says_whether_it_knows_outlines(tmp_path):
    (tmp_path / "rex").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "rex" / "1.png")
    (tmp_path / "subjects.yaml").write_text("subjects: {rex: dog}\n")
    for name, subject, known in (({"name": "toybox"}, "mint-duck", True),
                                 ({"name": "folder", "path": str(tmp_path)}, "rex", False)):  # fmt: skip
        asked = {"name": "x", "methods": ["frozen"], "dataset": name}
        catalog = Installed(strict_yaml.check(Experiment, asked, source="x.yaml"))
        assert (catalog.dataset.shots(subject, 0, 0).outlines is not None) is known


def test_every_prompt_carries_its_ground_truth(toybox):
    for name in toybox.subjects():
        prompts = toybox.prompts(name)
        assert len(prompts) == 25
        for prompt in prompts:
            assert prompt.template.count("{}") == 1
            assert prompt.attributes["class"] == toybox.category(name)
            assert len(prompt.attributes) >= 2
            assert set(prompt.attributes) <= set(ATTRIBUTES)


def test_the_balanced_set_asks_every_subject_for_as_much_of_each(toybox):
    for name in toybox.subjects():
        prompts = chosen_prompts(toybox, name, "balanced")
        assert prompts == toybox.named_prompts(name, "balanced")
        assert len({prompt.template for prompt in prompts}) == 24
        assert Counter(prompt.kind for prompt in prompts) == {
            "recontextualization": 8,
            "accessory": 12,
            "property": 4,
        }
        asked = [frozenset(prompt.attributes) - {"class"} for prompt in prompts]
        assert Counter(asked) == {
            frozenset({"background"}): 8,
            frozenset({"accessory"}): 5,
            frozenset({"accessory", "background"}): 7,
            frozenset({"colour"}): 4,
        }
        counts = Counter(prompt.attributes.get("accessory") for prompt in prompts)
        assert sorted(counts[each] for each in counts if each) == [2, 2, 2, 3, 3]
        assert {
            prompt.attributes["background"] for prompt in prompts if "background" in prompt.attributes
        } == set(BACKDROPS)
        assert {prompt.attributes["class"] for prompt in prompts} == {toybox.category(name)}
    assert toybox.named_prompts("mint-duck", "balanced") != toybox.named_prompts("dusk-duck", "balanced")


def test_the_balanced_set_is_in_the_keys_and_all_stays_as_it_was(toybox, monkeypatch):
    catalog = Installed(strict_yaml.check(Experiment, {"name": "x", "methods": ["frozen"]}, source="x.yaml"))
    plain, named = (catalog.prompts_identity("mint-duck", each) for each in ("all", "balanced"))
    assert plain == toybox.prompts_identity("mint-duck") != named
    monkeypatch.setattr("harness.toybox.prompts.BALANCED_COLOURS", 3)
    assert catalog.prompts_identity("mint-duck", "balanced") not in (plain, named)
    with pytest.raises(DatasetError, match="unknown set of prompts 'balance'"):
        toybox.named_prompts("mint-duck", "balance")


def test_every_prior_prompt_with_a_text_has_its_ground_truth(toybox):
    prompts = toybox.prior_prompts("duck", 32)
    truth = toybox.prior_truth("duck", 32)
    assert set(truth) == {*prompts["class"], *prompts["other"]}
    for text, attributes in truth.items():
        assert set(attributes) <= set(ATTRIBUTES)
        assert attributes["class"] in text.split()
        if "colour" in attributes:
            assert attributes["colour"] in text.split()
        phrases = [drop.phrase for drop in BACKDROPS.values() if drop.phrase in text]
        assert (
            phrases == [BACKDROPS[attributes["background"]].phrase]
            if "background" in attributes
            else not phrases
        )
    assert {truth[text]["class"] for text in prompts["class"]} == {"duck"}
    assert "duck" not in {truth[text]["class"] for text in prompts["other"]}


def test_prior_prompts_name_the_class_or_others(toybox):
    prompts = toybox.prior_prompts("mug", 64)
    assert {group: len(texts) for group, texts in prompts.items()} == {"class": 32, "other": 24, "empty": 8}
    assert len(set(prompts["class"])) == 32
    assert all("mug" in text.split() for text in prompts["class"])
    assert not any("mug" in text.split() for text in prompts["other"])
    assert toybox.prior_prompts("mug", 16)["class"] == prompts["class"][:8]


def test_names_and_identities_load_no_torch():
    check = (
        "import sys; from harness.datasets.registry import load_dataset; data = load_dataset('toybox')\n"
        "name = data.subjects('test')[0]\n"
        "data.check([name], [1, 6]); data.shots_identity(name, 3, 0); data.references_identity(name)\n"
        "data.prompts_identity(name); data.shots(name, 0, 0); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_more_prompts_than_there_are_is_refused_before_anything_is_fitted():
    asked = {"name": "x", "methods": ["frozen"], "subjects": ["mossy-mug"], "sampling": {"prompts": 26}}
    experiment = strict_yaml.check(Experiment, asked, source="x.yaml")
    with pytest.raises(ConfigError, match=r"sampling\.prompts: 26 requested, 'mossy-mug' has 25"):
        trials(experiment, Installed(experiment))


def test_the_subject_is_rendered_as_each_prompt_asks_and_the_same_for_the_same_seed(toybox):
    name = toybox.subjects("test")[0]
    chosen = [toybox.prompts(name)[number] for number in (0, 12, 24)]
    first, again = (toybox.as_asked(name, chosen, [1, 2, 3]) for _ in range(2))
    assert [each.size for each in first] == [(64, 64)] * 3
    assert [each.tobytes() for each in first] == [each.tobytes() for each in again]
    other = toybox.as_asked(name, chosen, [4, 5, 6])
    assert all(one.tobytes() != two.tobytes() for one, two in zip(first, other))
    assert toybox.shots(name, 0, 0).renderable


def test_what_an_own_prompt_asks_for_is_not_known(toybox):
    with pytest.raises(DatasetError, match="asks of a subject is not known"):
        toybox.as_asked("mint-duck", [Prompt("a {} on Mars", kind="custom")], [0])


def test_other_scenes_are_always_the_same_and_none_is_a_photo(toybox, tmp_path):
    scenes = toybox.elsewhere("mint-duck")
    again = load_dataset("toybox", cache=tmp_path).elsewhere("mint-duck")
    assert len(scenes) == 200
    assert [each.tobytes() for each in scenes] == [each.tobytes() for each in again]
    photos = {photo.tobytes() for photo in toybox.photos("mint-duck")}
    assert not photos & {each.tobytes() for each in scenes}


def test_the_pattern_is_known(toybox):
    assert toybox.looks("mint-duck") == {
        "class": "duck",
        "pattern": "zigzag",
        **{"shape_1": "high", "shape_2": "low", "shape_3": "high", "shape_4": "low"},
    }
