"""DreamBench: read from its own file, counted; against a clone where HARNESS_DREAMBENCH names one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dreambench_clone import FORMAT, NOUNS, listing, write_clone

from harness.config import experiment
from harness.datasets.base import DatasetError
from harness.datasets.registry import load_dataset
from harness.specs import DatasetSpec
from harness.sweep.grid import trials


@pytest.fixture
def clone(tmp_path):
    return write_clone(tmp_path)


def opened(path, **options):
    return load_dataset(DatasetSpec(name="dreambench", path=str(path), options=options))


def test_nouns_and_prompts_come_from_the_file(clone):
    data = opened(clone)
    assert len(data.subjects()) == 30
    assert data.category("shiny_sneaker") == "stuffed animal"
    told = [(p.text("X"), p.kind) for p in data.prompts("dog2")]
    assert told == [
        ("a X in the snow", "recontextualization"),
        ("a X wearing a red hat", "accessory"),
        ("a red X", "property"),
    ]
    assert [p.text("X") for p in data.prompts("vase")] == ["a X in the snow", "a red X"]
    assert opened(clone / "dataset").revision == data.revision


def test_all_shots_leave_none_held_out(clone):
    data = opened(clone)
    assert [data.most_shots(name) for name in ("vase", "duck_toy", "cat")] == [6, 4, 5]
    assert len(data.shot_names("vase", 6, 0)) == 6
    assert data.reference_names("vase", 6, 0) == []
    assert len(data.reference_names("vase", 1, 0)) == 5


def test_missing_and_foreign_photos_are_named(clone):
    (clone / "dataset" / "vase" / "03.jpg").unlink()
    (clone / "dataset" / "cat" / "extra.jpg").touch()
    with pytest.raises(DatasetError, match=r"158 photos: missing vase/03\.jpg; not of it cat/extra\.jpg$"):
        opened(clone)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (listing(first="'a {0} {2} in the snow'" + FORMAT), r"txt:\d+: not a prompt with one '\{0\} \{1\}'"),
        (listing(first="'a dog in the snow'" + FORMAT), r"txt:\d+: not a prompt"),
        (listing(first="'a {0} {1} on {0} {1}'" + FORMAT), r"txt:\d+: not a prompt"),
        (listing({**NOUNS, "dog2": "dog,cat"}), r"txt:\d+: not a new row 'subject,class': 'dog2,dog,cat'"),
        (listing({"vase": "vase"}), "names 1 subjects, DreamBench has 30"),
        (listing().replace("Live Subject Prompts", "Others"), "no line 'Live Subject Prompts'"),
        (listing().rstrip("]\n"), "'Live Subject Prompts' does not end"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(clone, text, says):
    (clone / "dataset" / "prompts_and_classes.txt").write_text(text)
    with pytest.raises(DatasetError, match=says) as caught:
        opened(clone)
    assert "\n" not in str(caught.value)


def test_wrong_names_get_the_nearest_known_one(clone, tmp_path):
    with pytest.raises(DatasetError, match="unknown subject 'vasse'; did you mean 'vase'"):
        opened(clone).prompts("vasse")
    with pytest.raises(DatasetError, match="unknown option 'resise'; did you mean 'resize'"):
        opened(clone, resise="crop")
    with pytest.raises(DatasetError, match=r"dataset\.resize: unknown way 'corp'; did you mean 'crop'"):
        opened(clone, resize="corp")
    with pytest.raises(DatasetError, match="not a clone of google/dreambooth"):
        opened(clone / "dataset" / "vase")


def test_cropping_changes_what_is_learnt_from_and_its_identity(clone):
    direct, crop = opened(clone), opened(clone, resize="crop")
    assert direct.shots("vase", 2, 0).shots[0].size == (8, 6)
    assert crop.shots("vase", 2, 0).shots[0].size == (6, 6)
    assert direct.shots_identity("vase", 2, 0) != crop.shots_identity("vase", 2, 0)
    assert direct.references_identity("vase") == crop.references_identity("vase")


def test_experiments_take_one_three_and_all_shots(clone, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(f"methods: [dreambooth]\nsubjects: [vase, cat]\n"
                    f"dataset: {{name: dreambench, path: {clone}}}\n")  # fmt: skip
    found = trials(experiment.load(path))
    assert [(t.subject, t.shots) for t in found] == [
        (s, k) for s, n in (("vase", 6), ("cat", 5)) for k in (1, 3, n)
    ]
    fixed = trials(experiment.load(path, ["shots=[5, all]"]))
    assert [(t.subject, t.shots) for t in fixed] == [("vase", 5), ("vase", 6), ("cat", 5)]


@pytest.mark.skipif("HARNESS_DREAMBENCH" not in os.environ, reason="HARNESS_DREAMBENCH names no clone")
def test_the_published_data_set_reads_whole():
    data = opened(Path(os.environ["HARNESS_DREAMBENCH"]))
    counts = [len(data.photo_names(name)) for name in data.subjects()]
    assert (len(counts), sum(counts)) == (30, 158)
    assert len({data.category(name) for name in data.subjects()}) == 15
    for name in data.subjects():
        kinds = [prompt.kind for prompt in data.prompts(name)]
        live = data.category(name) in ("cat", "dog")
        assert [kinds.count(k) for k in ("recontextualization", "accessory", "property")] == (
            [10, 10, 5] if live else [20, 0, 5]
        )
    data.check(data.subjects(), [1, 3])


@pytest.mark.parametrize(("model", "count"), [("sd15", 1710), ("sdxl", 720), ("sd3", 630)])
def test_the_published_protocol_expands(clone, model, count):
    """3 rows without photos and the others at 1, 3 and all shots, on 30 subjects; 4 pictures a prompt."""
    path = Path(__file__).parents[2] / "experiments" / f"dreambench_{model}.yaml"
    found = trials(experiment.load(path, [f"dataset.path={clone}"]))
    rows = {trial.title for trial in found}
    assert len(found) == count == 30 * (3 + 3 * (len(rows) - 3))
    assert {trial.sampling.images for trial in found} == {4}
    on_entries = [t.lipschitz for t in found if t.method == "dreambooth_lora" and t.lipschitz]
    assert {(each.norm, each.on) for each in on_entries} == {("sum", "entries")}
