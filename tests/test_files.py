"""Files appear whole or not at all, and digests stay what they are."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from harness import files
from harness.errors import RecordsError
from harness.files import cache_root, cores, file_digest, json_digest, write_atomically


def test_a_file_is_replaced_as_a_whole_and_its_folder_made(tmp_path):
    path = tmp_path / "new" / "a"
    write_atomically(path, b"1")
    write_atomically(path, lambda file: file.write(b"2"))
    assert contents(tmp_path) == {"new/a": b"2"}


def test_a_writer_that_fails_leaves_the_old_content_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError):
        write_atomically(tmp_path / "a", lambda file: file.write(b"new") / 0)
    assert contents(tmp_path) == {"a": b"old"}


def test_a_full_disk_leaves_the_old_content_and_is_one_line(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_atomically(tmp_path / "a", b"old")
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RecordsError, match="a: cannot be written: No space left on device"):
        write_atomically(tmp_path / "a", b"new")
    assert contents(tmp_path) == {"a": b"old"}


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecordsError, match=r"file/x: cannot be written: "):
        write_atomically(tmp_path / "file" / "x", b"")


def test_a_file_has_the_mode_that_the_user_gives_new_files(tmp_path):
    write_atomically(tmp_path / "a", b"")
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_file_digest_is_sha256_and_follows_the_content(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    assert file_digest(path) == hashlib.sha256(b"1").hexdigest()
    path.write_bytes(b"22")
    assert file_digest(path) == hashlib.sha256(b"22").hexdigest()


def test_json_digests_stay_what_they_are():
    value = {"b": [1, 2.5, None], "a": "é"}
    assert json_digest(value, 16) == "c8e177ab11af9dbe"
    assert json_digest(value, 16, compact=True) == "d764fee2563da33e"
    assert json_digest(value, 8, ascii_only=True) == "fc10ba97"


def test_the_order_of_keys_does_not_count_and_nan_is_refused():
    assert json_digest({"a": 1, "b": 2}, 64) == json_digest({"b": 2, "a": 1}, 64)
    with pytest.raises(ValueError, match="JSON compliant"):
        json_digest(float("nan"), 16)


def test_the_cache_follows_the_environment(monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", "~/somewhere")
    assert cache_root() == Path.home() / "somewhere"
    monkeypatch.delenv("HARNESS_CACHE")
    assert cache_root() == Path.home() / ".cache" / "harness"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_only_the_cores_of_this_process_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5})
    assert cores() == 2


def test_artifacts_replace_a_folder_as_a_whole(tmp_path):
    files.place(tmp_path, "k", {"pictures/00-00.png": b"1", "old": b"x"}, replace=True)
    files.place(tmp_path, "k", {"pictures/00-00.png": b"2"}, replace=True)
    assert contents(tmp_path) == {"k/pictures/00-00.png": b"2"}


def test_artifacts_join_what_is_there(tmp_path):
    files.place(tmp_path, "k", {"pictures/00-00.png": b"1", "images.json": b"1"}, replace=True)
    files.place(tmp_path, "k", {"images.json": b"2"}, replace=False)
    assert contents(tmp_path) == {"k/pictures/00-00.png": b"1", "k/images.json": b"2"}


def test_a_disk_that_fills_up_leaves_the_old_files(tmp_path, monkeypatch):
    files.place(tmp_path, "k", {"a": b"old"}, replace=True)
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RecordsError, match="k: cannot be written: No space left on device"):
        files.place(tmp_path, "k", {"a": b"new", "b": b"new"}, replace=True)
    assert contents(tmp_path) == {"k/a": b"old"}


def test_an_artifact_cannot_leave_its_folder(tmp_path):
    with pytest.raises(RecordsError, match="points outside"):
        files.place(tmp_path, "k", {"../../x": b""}, replace=True)
    assert contents(tmp_path) == {}


def test_leftovers_of_a_killed_sweep_are_cleared(tmp_path):
    (tmp_path / f"{files.COMING}k").mkdir()
    (tmp_path / f"{files.GOING}k").mkdir()
    (tmp_path / "k").mkdir()
    assert files.clear_leftovers(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
