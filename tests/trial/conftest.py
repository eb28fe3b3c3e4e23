"""What the tests of trials share: tiny encoders, an album of two subjects, and a worker on them."""

from __future__ import annotations

import pytest

from harness.specs import BackboneSpec, DatasetSpec, EncoderSpec
from harness.trial.worker import Worker


@pytest.fixture(scope="module")
def encoders(tiny_clip, tiny_vit):
    return {
        "clip": EncoderSpec(model=f"local-dir:{tiny_clip}"),
        "dino": EncoderSpec(model="test_vit", checkpoint=str(tiny_vit)),
    }


@pytest.fixture(scope="module")
def album(tmp_path_factory, photos):
    """A folder data set: two subjects."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "subjects.yaml").write_text("subjects: {rex: dog, cup: mug}\n")
    for name in ("rex", "cup"):
        (folder / name).mkdir()
        for index, photo in enumerate(photos):
            photo.rotate(90 * (name == "cup")).save(folder / name / f"{index}.png")
    return DatasetSpec(name="folder", path=str(folder))


@pytest.fixture(scope="module")
def spec(tiny_sd):
    return BackboneSpec(name="tiny", path=str(tiny_sd))


@pytest.fixture(scope="module")
def worker(spec, album, encoders, cache):
    return Worker(backbone=spec, dataset=album, encoders=encoders, cache=cache, threads=1)
