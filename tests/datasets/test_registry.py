"""Data sets are found where they lie: a new one is one file."""

import pytest

import harness.datasets
from harness.cli.listing import datasets_table
from harness.datasets import registry
from harness.datasets.base import DatasetError
from harness.specs import DatasetSpec

BRICKS = '''
"""Bricks as a data set."""

from harness.datasets.base import DatasetEntry


class Bricks:
    name = "bricks"

    def __init__(self, colour):
        self.colour = colour

    @classmethod
    def open(cls, spec, cache):
        return cls(spec.options.get("colour", "red"))


DATASET = DatasetEntry("bricks", "a wall of them", Bricks.open, options=("colour",))
'''


@pytest.fixture
def bricks(tmp_path, monkeypatch):
    """One more file in the room."""
    (tmp_path / "bricks.py").write_text(BRICKS)
    monkeypatch.setattr(harness.datasets, "__path__", [*harness.datasets.__path__, str(tmp_path)])
    registry._built_in.cache_clear()
    yield
    registry._built_in.cache_clear()


def test_a_new_data_set_is_one_file(bricks):
    assert set(registry.offers()) == {"bricks", "dreambench", "folder", "toybox"}
    assert registry.load_dataset("bricks").colour == "red"
    assert registry.load_dataset(DatasetSpec(name="bricks", options={"colour": "blue"})).colour == "blue"
    names = list(datasets_table().columns[0].cells)
    assert names == ["bricks", "dreambench", "folder", "toybox"]


def test_its_options_are_checked_by_what_it_says(bricks):
    with pytest.raises(DatasetError, match="unknown option 'color'; did you mean 'colour'"):
        registry.load_dataset(DatasetSpec(name="bricks", options={"color": "blue"}))
    with pytest.raises(DatasetError, match="unknown option 'seed'"):
        registry.load_dataset(DatasetSpec(name="toybox", options={"seed": 1}))
