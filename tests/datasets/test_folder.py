"""The user's own photos: draws, prompts, identities, and every mistake a folder or its YAML can hold."""

from __future__ import annotations

import pytest
from PIL import Image

from harness.datasets.base import DatasetError, chosen_prompts
from harness.datasets.registry import load_dataset
from harness.errors import HarnessError
from harness.specs import DatasetSpec
from harness.trial.data import subject_photos


@pytest.fixture
def album(tmp_path):
    """Two subjects: five photos of a dog, three of a mug, each of a colour of its own."""
    for name, count in (("rex", 5), ("cup", 3)):
        (tmp_path / name).mkdir()
        for index in range(count):
            Image.new("RGB", (8, 6), (index * 20, 100, 50)).save(tmp_path / name / f"{index}.png")
    (tmp_path / "subjects.yaml").write_text("subjects: {rex: dog, cup: {class: mug}}\n")
    return tmp_path


def opened(folder, **options):
    return load_dataset(DatasetSpec(name="folder", path=str(folder), options=options))


def test_subjects_nouns_and_photos(album):
    data = opened(album)
    assert data.subjects() == ["rex", "cup"]
    assert [data.category(name) for name in data.subjects()] == ["dog", "mug"]
    assert data.photo_names("cup") == ["0.png", "1.png", "2.png"]
    assert [photo.size for photo in data.photos("cup")] == [(8, 6)] * 3


def test_draws_are_nested_seeded_and_leave_the_rest_as_references(album):
    data = opened(album)
    draws = [data.shot_names("rex", shots, 0) for shots in range(6)]
    assert all(draws[k + 1][:k] == draws[k] for k in range(5))
    assert sorted(draws[5]) == data.photo_names("rex")
    assert len({tuple(data.shot_names("rex", 5, seed)) for seed in range(20)}) > 10
    for shots in range(6):
        held_out = data.reference_names("rex", shots, 0)
        assert sorted([*held_out, *draws[shots]]) == data.photo_names("rex")


def test_k_shots_read_exactly_k_files(album, monkeypatch):
    from harness.datasets import folder

    read = []
    monkeypatch.setattr(folder, "read_photo", lambda path: read.append(path.name) or Image.new("RGB", (2, 2)))
    data = opened(album)
    subject = data.shots("rex", 3, 7)
    assert read == data.shot_names("rex", 3, 7)
    assert (subject.name, subject.category, len(subject.shots)) == ("rex", "dog", 3)


def test_identities_follow_content_and_nothing_else(album):
    data = opened(album)
    shots, references = data.shots_identity("rex", 3, 0), data.references_identity("rex")
    assert data.shots_identity("rex", 3, 1) != shots
    drawn = data.shot_names("rex", 3, 0)
    other = next(name for name in data.photo_names("rex") if name not in drawn)
    Image.new("RGB", (8, 7), "white").save(album / "rex" / other)
    assert data.shots_identity("rex", 3, 0) == shots
    assert data.references_identity("rex") != references
    Image.new("RGB", (8, 7), "white").save(album / "rex" / drawn[0])
    assert data.shots_identity("rex", 3, 0) != shots


def test_default_prompts_are_those_of_objects_and_of_live_subjects(album):
    data = opened(album)
    live, still = data.prompts("rex"), data.prompts("cup")
    for prompts in (live, still):
        assert len({prompt.template for prompt in prompts}) == 25
        assert all(prompt.template.count("{}") == 1 for prompt in prompts)
    assert sum(prompt.kind == "accessory" for prompt in live) == 10
    assert sum(prompt.kind == "recontextualization" for prompt in still) == 20
    assert still[0].text("sks mug") == "a sks mug in the jungle"


def test_prompts_of_the_subject_go_before_those_of_the_file(album):
    (album / "subjects.yaml").write_text(
        "subjects: {rex: {class: dog, prompts: ['a {} asleep']}, cup: mug}\n"
        "prompts: ['a {} at sea', 'one {}']\n"
    )
    data = opened(album)
    assert [prompt.template for prompt in data.prompts("rex")] == ["a {} asleep"]
    assert [prompt.template for prompt in data.prompts("cup")] == ["a {} at sea", "one {}"]


def test_the_yaml_may_stand_in_the_experiment(album):
    (album / "subjects.yaml").unlink()
    data = opened(album, subjects={"rex": "dog"}, prompts=["a {} at sea"])
    assert data.subjects() == ["rex"]
    assert [prompt.template for prompt in data.prompts("rex")] == ["a {} at sea"]


def test_the_yaml_may_lie_elsewhere(album, tmp_path_factory):
    file = tmp_path_factory.mktemp("other") / "mine.yaml"
    file.write_text("subjects: {cup: cup}\n")
    assert opened(album, file=str(file)).category("cup") == "cup"
    (album / "more.yaml").write_text("subjects: {cup: goblet}\n")
    assert opened(album, file="more.yaml").category("cup") == "goblet"


def test_chosen_prompts_are_spread_over_the_kinds(album):
    data = opened(album)
    kinds = [prompt.kind for prompt in chosen_prompts(data, "rex", 5)]
    assert set(kinds) == {"recontextualization", "accessory", "property"}
    assert len(chosen_prompts(data, "rex", "all")) == 25
    assert [prompt.template for prompt in chosen_prompts(data, "rex", ("my {}",))] == ["my {}"]
    with pytest.raises(DatasetError, match=r"sampling\.prompts: 26 requested, 'rex' has 25"):
        chosen_prompts(data, "rex", 26)


def test_there_is_no_split_of_confirmation(album):
    with pytest.raises(DatasetError, match="no confirmation split; name the subjects"):
        opened(album).subjects("confirmation")


def test_there_is_no_other_set_of_prompts_than_all(album):
    with pytest.raises(DatasetError, match="'balanced' is a set of Toybox; 'folder' has: all"):
        chosen_prompts(opened(album), "rex", "balanced")


def test_prior_prompts_come_in_three_groups_and_only_grow(album):
    data = opened(album)
    few, many = data.prior_prompts("dog", 8), data.prior_prompts("dog", 64)
    assert {group: len(texts) for group, texts in few.items()} == {"class": 4, "other": 3, "empty": 1}
    assert {group: len(texts) for group, texts in many.items()} == {"class": 32, "other": 24, "empty": 8}
    for group, texts in few.items():
        assert many[group][: len(texts)] == texts
    assert all(" dog" in text for text in many["class"])
    assert not any(" dog" in text for text in many["other"])
    (album / "subjects.yaml").write_text("subjects: {rex: dog}")
    assert opened(album).prior_prompts("dog", 64) == many, "whatever other subjects there are"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("subjects: {rex: dog, cup: 3}", r"subjects\.yaml: subjects\.cup"),
        ("subjects: {rex: {clas: dog}}", r"subjects\.rex: unknown key 'clas'; did you mean 'class'"),
        ("subject: {rex: dog}", r"subjects\.yaml: subjects: is missing"),
        ("subjects: {}", r"subjects\.yaml: subjects"),
        (
            "subjects: {rex: dog}\nprompts: ['a dog at sea']",
            r"prompts: prompt 'a dog at sea' needs exactly one \{\}",
        ),
        ("subjects: {rex: dog}\nprompts: ['a {} {place}']", r"no other placeholder"),
        ("subjects: {rex: dog}\nprompts: []", r"needs at least one prompt"),
        ("subjects: [rex", r"subjects\.yaml:\d+: not valid YAML"),
    ],
)
def test_mistakes_in_the_yaml_are_one_line_with_file_and_key(album, text, says):
    (album / "subjects.yaml").write_text(text)
    with pytest.raises(HarnessError, match=says) as caught:
        opened(album)
    assert "\n" not in str(caught.value)


def test_a_folder_without_yaml_says_what_to_write(album):
    (album / "subjects.yaml").unlink()
    with pytest.raises(DatasetError, match=r"subjects\.yaml: no such file; .*'subjects: \{cup: dog\}'"):
        opened(album)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (DatasetSpec(name="folder"), r"dataset\.path: is missing"),
        (DatasetSpec(name="folder", path="nowhere"), r"dataset\.path: nowhere: no such folder"),
        (DatasetSpec(name="foldr"), "unknown data set 'foldr'; did you mean 'folder'"),
        (DatasetSpec(name="toybox", path="x"), "takes neither a path nor options"),
    ],
)
def test_specs_that_name_nothing(spec, says):
    with pytest.raises(DatasetError, match=says):
        load_dataset(spec)


def test_unknown_option_and_subject_get_the_nearest_name(album):
    with pytest.raises(DatasetError, match="did you mean 'prompts'"):
        opened(album, prompt=["a {}"])
    with pytest.raises(DatasetError, match="unknown subject 'rx'; did you mean 'rex'"):
        opened(album).category("rx")
    with pytest.raises(DatasetError, match="no development split"):
        opened(album).subjects("development")


def test_check_names_the_photo_the_folder_or_the_lack(album):
    data = opened(album)
    data.check(["rex", "cup"], [1, 3])
    with pytest.raises(
        DatasetError, match="cup: 3 photos, 4 shots are requested; add photos or lower 'shots'"
    ):
        data.check(["rex", "cup"], [1, 4])
    (album / "rex" / "2.png").write_bytes(b"junk")
    with pytest.raises(DatasetError, match=r"2\.png: not a readable photo"):
        data.check(["rex"], [1])
    for path in (album / "cup").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="cup: no photos in it"):
        data.check(["cup"], [1])
    (album / "cup").rmdir()
    with pytest.raises(DatasetError, match="cup: no such folder"):
        data.check(["cup"], [1])


def test_an_empty_folder_of_a_subject_that_nobody_uses_is_no_matter(album):
    before = opened(album).revision
    (album / "subjects.yaml").write_text("subjects: {rex: dog, cup: {class: mug}, later: vase}\n")
    (album / "later").mkdir()
    assert opened(album).revision == before


def test_photos_cannot_be_rendered_and_their_looks_are_not_known(album):
    data = opened(album)
    assert (data.looks("rex"), data.elsewhere("rex")) == ({}, [])
    assert not data.shots("rex", 0, 0).renderable
    with pytest.raises(DatasetError, match="'folder' cannot render 'rex'"):
        data.as_asked("rex", data.prompts("rex"), [0])


def test_what_is_held_out_has_an_identity_of_its_own(album):
    data = opened(album)
    known = {(shots, seed): data.held_out_identity("rex", shots, seed) for shots in (1, 3) for seed in (0, 1)}
    assert known[1, 0] != known[3, 0] != known[3, 1]
    assert data.held_out_identity("rex", 5, 0) == data.held_out_identity("rex", 5, 1), "none is left"


def test_every_number_of_shots_of_an_experiment_is_compared_with_the_same_photos(album):
    data = opened(album)
    of = {k: subject_photos(data, "rex", shots=k, seed=0, most_shots=3) for k in (0, 1, 3)}
    assert of[0].references == of[1].references == of[3].references and len(of[3].references) == 2
    assert not set(of[3].references) & set(of[3].shots) and set(of[1].shots) < set(of[3].shots)
    assert subject_photos(data, "rex", shots=1, seed=0, most_shots=5).references == []
