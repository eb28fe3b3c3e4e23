"""What a worker process imports, it imports once and without the collector."""

import gc
import sys

import pytest

from harness.sweep.ray_worker import _imported


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that says whether garbage was collected while it was imported."""
    (tmp_path / "made_for_this.py").write_text("import gc\ncollecting = gc.isenabled()\n")
    (tmp_path / "broken_for_this.py").write_text("raise OSError('broken')\n")
    monkeypatch.syspath_prepend(tmp_path)
    frozen = gc.get_freeze_count()
    yield "made_for_this"
    sys.modules.pop("made_for_this", None)
    if not frozen:
        gc.unfreeze()


def test_nothing_is_collected_during_an_import_nor_looked_at_afterwards(module):
    assert _imported(f"{module}:collecting") is False
    assert gc.isenabled() and gc.get_freeze_count() > 1000


def test_what_is_there_already_freezes_nothing_more(module):
    """Else a base model that another one replaced would never be freed."""
    _imported(f"{module}:collecting")
    garbage = [[]]
    garbage[0].append(garbage)
    gc.unfreeze()
    assert _imported(f"{module}:collecting") is False
    assert gc.get_freeze_count() == 0


def test_a_module_that_cannot_be_imported_leaves_the_collector_on(module):
    with pytest.raises(OSError, match="broken"):
        _imported("broken_for_this:any")
    assert gc.isenabled()
