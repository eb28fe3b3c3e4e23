"""Whose commit a record names: the source tree's own, a container's, never somebody else's repository's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.trial.provenance import commit


def repository(root: Path) -> str:
    """Commit one file of a package below ``root``; return the commit."""
    (root / "harness").mkdir(parents=True)
    (root / "harness" / "file.py").write_text("1\n")
    name = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-q", "-m", "m"], ["rev-parse", "HEAD"]):
        done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def forget():
    """The answer is kept for the life of a process."""
    commit.cache_clear()
    yield
    commit.cache_clear()


def test_a_source_tree_names_its_commit_and_whether_it_was_changed(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_COMMIT", "built")
    head = repository(tmp_path)
    assert commit(tmp_path / "harness") == (head, False)
    (tmp_path / "harness" / "file.py").write_text("2\n")
    commit.cache_clear()
    assert commit(tmp_path / "harness") == (head, True)


def test_installed_within_a_foreign_repository_it_names_no_commit_of_that(tmp_path, monkeypatch):
    monkeypatch.delenv("HARNESS_COMMIT", raising=False)
    repository(tmp_path)
    package = tmp_path / ".venv" / "site-packages" / "harness"
    package.mkdir(parents=True)
    assert commit(package) == (None, None)


@pytest.mark.parametrize("foreign", [True, False])
def test_a_container_names_the_commit_that_it_was_built_from(tmp_path, monkeypatch, foreign):
    monkeypatch.setenv("HARNESS_COMMIT", "built")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if foreign:
        repository(tmp_path)
    package = tmp_path / "site-packages" / "harness"
    package.mkdir(parents=True)
    assert commit(package) == ("built", None)
