"""Records survive: a cut-off line, a full disk, a second writer."""

from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
import textwrap

import pytest

from harness import records
from harness.errors import BusyError, RecordsError
from harness.files import locked
from harness.records import PACKED, Lines, Outline, Record, has_records, read, run_directories


def record(key: str = "a", status: str = "done", **changes) -> Record:
    return Record.model_validate(
        {"key": key, "keys": {"fit": "f", "sample": key, "score": "s"}, "status": status, "trial": {}}
        | changes
    )


def test_what_is_appended_is_read(tmp_path):
    lines = Lines(tmp_path)
    for key in "ab":
        lines.append(record(key, scores={"dino": 0.1 + 0.2, "clip_t": None}))
    assert read(tmp_path) == [record(key, scores={"dino": 0.1 + 0.2, "clip_t": None}) for key in "ab"]


def test_the_last_record_of_a_key_holds(tmp_path):
    lines = Lines(tmp_path)
    for one in (record("a", "failed", error="x"), record("b"), record("a")):
        lines.append(one)
    assert [(r.key, r.status) for r in read(tmp_path)] == [("b", "done"), ("a", "done")]
    assert len(list(lines)) == 3


def test_only_wanted_records_are_current_and_the_others_are_counted(tmp_path):
    for key in "abc":
        Lines(tmp_path).append(record(key))
    assert records.read_current(tmp_path) == (read(tmp_path), 0)
    (tmp_path / records.WANTED).write_text('["b", "not yet run"]')
    current = records.read_current(tmp_path)
    assert ([r.key for r in current.records], current.left_out) == (["b"], 2)
    assert current.remark.startswith("2 records left out")
    (tmp_path / records.WANTED).write_text("{")
    with pytest.raises(RecordsError, match=r"wanted\.json: no list of keys"):
        records.read_current(tmp_path)


def test_no_file_is_no_record(tmp_path):
    assert read(tmp_path / "none") == []


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_cut_off_line_is_set_aside_and_named(tmp_path, cut):
    lines = Lines(tmp_path)
    lines.append(record("a"))
    whole = lines.path.read_bytes()
    lines.append(record("b"))
    torn = lines.path.read_bytes()[len(whole) : -cut]
    lines.path.write_bytes(whole + torn)
    with pytest.warns(UserWarning, match="the last line is cut off"):
        assert [r.key for r in read(tmp_path)] == ["a"]
    aside = lines.repair()
    assert aside == tmp_path / "records.jsonl.truncated-1" and aside.read_bytes() == torn
    assert lines.path.read_bytes() == whole
    assert lines.repair() is None
    lines.append(record("b"))
    assert [r.key for r in read(tmp_path)] == ["a", "b"]


def test_a_cut_off_only_line_leaves_an_empty_file(tmp_path):
    lines = Lines(tmp_path)
    lines.path.write_bytes(b'{"key": "a')
    lines.repair()
    assert lines.path.read_bytes() == b"" and read(tmp_path) == []


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    lines = Lines(tmp_path)
    lines.append(record("a"))
    with lines.path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(RecordsError, match=r"records\.jsonl:2: not a record"):
        read(tmp_path)


@pytest.mark.parametrize("extra", [{"format": 2}, {"energy": {"kWh": 0.1}}])
def test_a_record_of_a_newer_version_is_refused_and_not_half_read(tmp_path, extra):
    lines = Lines(tmp_path)
    lines.append(record("a"))
    newer = json.loads(record("b").line()) | extra
    with lines.path.open("a") as file:
        file.write(json.dumps(newer) + "\n")
    said = rf"records\.jsonl:2: written by a newer version of harness .* not know '{next(iter(extra))}'"
    with pytest.raises(RecordsError, match=said):
        list(lines.outlines())
    with pytest.raises(RecordsError, match=said):
        read(tmp_path)


def test_an_append_that_fails_half_way_is_taken_back(tmp_path, monkeypatch):
    lines = Lines(tmp_path)
    lines.append(record("a"))
    before = lines.path.read_bytes()
    write = os.write
    calls = []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) == 1:
            return write(descriptor, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records.os, "write", full)
    with pytest.raises(RecordsError, match=r"records\.jsonl: cannot be written: No space left on device"):
        lines.append(record("b"))
    assert lines.path.read_bytes() == before


def test_a_full_disk_is_one_line(tmp_path):
    (tmp_path / records.FILE).symlink_to("/dev/full")
    with pytest.raises(RecordsError, match=r"No space left on device|Invalid argument"):
        Lines(tmp_path).append(record("a"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RecordsError, match="cannot be written: Permission denied"), locked(tmp_path / "x"):
        pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RecordsError, match="cannot be written: Not a directory"),
        locked(tmp_path / "file" / "x"),
    ):
        pass


def test_nan_is_no_score():
    with pytest.raises(ValueError, match="finite"):
        record(scores={"dino": float("nan")})


HOLD = """
    import sys, time
    from pathlib import Path
    from harness.files import locked
    with locked(Path(sys.argv[1])):
        print("held", flush=True)
        time.sleep(60)
"""


def test_a_second_sweep_is_told_who_holds_the_folder_and_a_dead_one_holds_nothing(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(
            BusyError, match=rf"another sweep is writing to it \(process {holder.pid} on .*, since 2"
        ):
            locked(tmp_path).__enter__()
    finally:
        holder.kill()
        holder.wait()
    with locked(tmp_path):
        pass


def test_an_error_of_the_body_passes_the_lock_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path):
        (tmp_path / "none").read_text()


def test_a_fit_that_another_record_has_is_not_among_its_own_seconds():
    seconds = {"fit": 9.0, "sample": 2.0, "score": 1.0}
    given = {"key": "k", "keys": {}, "status": "done", "trial": {}, "seconds": seconds}
    assert Record(**given).own_seconds == seconds
    assert Record(**given, provenance={"fit_shared": True}).own_seconds == {"sample": 2.0, "score": 1.0}


def test_a_record_without_readout_is_written_as_ever():
    given = {"key": "k", "keys": {}, "status": "done", "trial": {}}
    assert b"readout" not in Record(**given).line()
    read_out = Record(**given, readout={"alpha": 0.5})
    assert Record.model_validate_json(read_out.line()) == read_out


def test_an_outline_says_what_planning_asks_and_holds_nothing_else(tmp_path):
    whole = record("a", by_prompt={"dino": [0.1, None]}, seconds={"fit": 3.0, "score": 1.0}).model_copy(
        update={"provenance": {"fit_shared": True, "versions": {"torch": "2"}}, "search": {"study": "x"}}
    )
    Lines(tmp_path).append(whole)
    (outline,) = Lines(tmp_path).outlines()
    read_whole = {"key", "keys", "status", "trial", "seconds", "search"}
    assert set(Outline.model_fields) == set(Record.model_fields)
    assert outline.model_dump(include=read_whole) == whole.model_dump(include=read_whole)
    assert outline.own_seconds == whole.own_seconds == {"score": 1.0}
    assert outline.provenance == {"fit_shared": True}
    unread = set(Outline.model_fields) - read_whole - {"provenance"}
    assert all(getattr(outline, name) is None for name in unread)


def test_packed_records_come_before_the_others_and_are_read_alike(tmp_path):
    before = [record("a", scores={"dino": 0.1 + 0.2}), record("b")]
    (tmp_path / "x").mkdir()
    assert not has_records(tmp_path / "x")
    data = b"".join(each.line() for each in before)
    (tmp_path / "x" / PACKED).write_bytes(gzip.compress(data))
    assert has_records(tmp_path / "x") and run_directories(tmp_path) == [tmp_path / "x"]
    assert read(tmp_path / "x") == before
    Lines(tmp_path / "x").append(record("a", "failed"))
    assert [(each.key, each.status) for each in read(tmp_path / "x")] == [("b", "done"), ("a", "failed")]
    assert [each.key for each in Lines(tmp_path / "x").outlines()] == ["a", "b", "a"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: b"no" + data, lambda data: data[:30]]
)
def test_damaged_packed_records_are_one_line(tmp_path, damage):
    packed = gzip.compress(b"".join(record(key).line() for key in "abcdefgh"))
    (tmp_path / PACKED).write_bytes(damage(packed))
    with pytest.raises(RecordsError, match=rf"{PACKED}: cannot be read: "):
        read(tmp_path)
