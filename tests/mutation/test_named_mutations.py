"""The lists of mutation testing fit the code: what would be changed is there, once."""

from pathlib import Path

import pytest
from mutation import AREAS
from named_mutations import CHANGES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.words)
def test_what_a_named_change_replaces_stands_once(change):
    assert (ROOT / change.path).read_text().count(change.before) == 1
    assert (ROOT / change.tests.split()[0]).is_file()


def test_areas_name_modules_and_tests_that_are_there():
    named = [*AREAS, *(path for tests in AREAS.values() for path in tests)]
    assert [path for path in named if not (ROOT / path).exists()] == []
