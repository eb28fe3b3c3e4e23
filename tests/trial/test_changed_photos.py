"""Photos that change while a sweep runs: no record speaks of others than its key does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fakes import FakeCatalog
from PIL import Image

from harness.datasets.base import DatasetError
from harness.datasets.registry import load_dataset
from harness.specs import BackboneSpec, DatasetSpec, Sampling, Trial
from harness.sweep import worklist
from harness.trial.data import TrialData, check_photos
from harness.trial.plan import Plan


@pytest.fixture
def album(tmp_path, photos):
    """A folder of one subject that a test may change."""
    (tmp_path / "subjects.yaml").write_text("subjects: {rex: dog}\n")
    (tmp_path / "rex").mkdir()
    for index, photo in enumerate(photos):
        photo.save(tmp_path / "rex" / f"{index}.png")
    return tmp_path


def opened(folder):
    return load_dataset(DatasetSpec(name="folder", path=str(folder)))


def plan_of(make, photos: str | None) -> Plan:
    """A plan as the worklist writes it, its subject and photos replaced."""
    experiment = make()
    (task, *_) = worklist.tasks(experiment, FakeCatalog(references="r"), [], Path("nowhere"))
    assert task.photos == f"r/{task.trial.subject}"
    plan = worklist.plan(task, experiment, Path("nowhere"))
    assert plan.photos == task.photos
    spec = BackboneSpec(name="toybox")
    trial = Trial(
        backbone=spec, method="frozen", title="Frozen", params={}, subject="rex", shots=2, seed=0,
        sampling=Sampling(prompts=2),
    )  # fmt: skip
    return dataclasses.replace(plan, trial=trial, photos=photos)


def replaced(folder):
    Image.new("RGB", (8, 8), "red").save(folder / "rex" / "3.png")


def added(folder):
    Image.new("RGB", (8, 8), "red").save(folder / "rex" / "9.png")


def removed(folder):
    (folder / "rex" / "0.png").unlink()


@pytest.mark.parametrize("change", [replaced, added, removed])
def test_a_photo_that_changed_since_the_keys_were_made_is_said_in_one_line(make, album, change):
    plan = plan_of(make, opened(album).references_identity("rex"))
    running = opened(album)
    assert len(TrialData.of(plan, running).photos.photos) == 5
    change(album)
    said = "^the photos of 'rex' changed while the sweep ran; run it again$"
    with pytest.raises(DatasetError, match=said):
        TrialData.of(plan, opened(album))
    with pytest.raises(DatasetError, match=said):
        check_photos(plan, running)  # at the end of a trial, by a worker that read them before


def test_photos_that_did_not_change_and_a_plan_that_does_not_know_them_pass(make, album):
    check_photos(plan_of(make, opened(album).references_identity("rex")), opened(album))
    check_photos(plan_of(make, None), opened(album))
