"""Fixtures of the engine: fakes on the path, an experiment from a mapping, a folder for runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import document
from harness.config import Experiment

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

Make = Callable[..., Experiment]


@pytest.fixture
def make() -> Make:
    """Build an experiment of the fakes from keywords, over small defaults."""

    def build(**changes: Any) -> Experiment:
        defaults = {
            "name": "x",
            "methods": ["frozen", {"name": "tuned", "params": {"lr": [0.001, 0.0001]}}],
            "subjects": {"split": "test", "count": 2},
            "shots": [1, 3],
        }
        return document.check(Experiment, defaults | changes, source="x.yaml")

    return build


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for runs; the fakes' cache lies in it too."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", HERE)
    return tmp_path / "runs"
