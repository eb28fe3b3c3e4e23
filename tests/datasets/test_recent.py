"""Data sets travel to workers; what they remember stays behind."""

import pickle

from harness.datasets.photos import Recent
from harness.datasets.registry import load_dataset
from harness.specs import DatasetSpec


def test_a_data_set_that_has_read_photos_can_be_pickled(tmp_path):
    dataset = load_dataset(DatasetSpec(name="toybox"), cache=tmp_path)
    dataset.photos("mossy-mug")
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.subjects() == dataset.subjects()


def test_only_the_last_few_are_remembered():
    made = []
    recent = Recent[str](2)
    for key in ("a", "b", "a", "c", "b"):
        recent.get(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "b"]
