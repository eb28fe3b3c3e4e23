"""A disk that fills up or may not be written: what was finished stays, and one line says which file."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from fakes import PNG, FakeCatalog
from PIL import Image
from safetensors import SafetensorError

from harness import files, records
from harness.cli import main
from harness.cli.toybox import sheet
from harness.errors import BackboneError, RecordsError
from harness.files import locked
from harness.records import Lines, Record, read
from harness.report import publish
from harness.report.html import document
from harness.specs import BackboneSpec
from harness.sweep import export, worklist
from harness.sweep.record_writer import RecordWriter
from harness.sweep.run import run_sweep
from harness.tracking.mirror import Mirror, Store
from harness.trial.plan import Outcome

FULL = os.strerror(errno.ENOSPC)


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, FULL)


class FullAt:
    """A call that works until the nth time, and then finds the disk full."""

    def __init__(self, call, at: int) -> None:
        self.call, self.left = call, at

    def __call__(self, *args, **kwargs):
        self.left -= 1
        return full() if self.left == 0 else self.call(*args, **kwargs)


@pytest.fixture
def tasks(make, tmp_path):
    return worklist.tasks(make(), FakeCatalog(), [], tmp_path)


def outcome() -> Outcome:
    return Outcome("done", artifacts={"pictures/00-00.png": PNG, "fit.json": b"{}"})


@pytest.mark.parametrize("at", range(1, 5))
def test_images_and_record_of_a_trial_count_together_or_not_at_all(tasks, tmp_path, monkeypatch, at):
    writer = RecordWriter(tmp_path, described={"dataset": "toybox"})
    first = writer.commit(tasks[0], outcome())
    monkeypatch.setattr(os, "fsync", FullAt(os.fsync, at))  # two files, their folder, the record
    with pytest.raises(RecordsError, match=f"{tmp_path}/.*: cannot be written: {FULL}$"):
        writer.commit(tasks[1], outcome())
    assert read(tmp_path) == [first]
    assert not list(tmp_path.glob(f"{files.COMING}*"))
    monkeypatch.undo()
    second = writer.commit(tasks[1], outcome())
    assert read(tmp_path) == [first, second]
    assert (tmp_path / second.key / "pictures" / "00-00.png").read_bytes() == PNG


def test_a_lock_that_cannot_say_who_holds_it_is_one_line_and_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(RecordsError, match=f"lock: cannot be written: {FULL}$"), locked(tmp_path):
        pytest.fail("there is no room for a record either")
    monkeypatch.undo()
    with locked(tmp_path):
        pass


def test_a_cut_off_line_that_cannot_be_set_aside_stays_where_it_is(tmp_path, monkeypatch):
    lines = Lines(tmp_path)
    lines.path.write_bytes(b'{"key": "a')
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordsError, match=f"cannot be written: {FULL}$"):
        lines.repair()
    assert [path.name for path in tmp_path.iterdir()] == [records.FILE]
    assert lines.path.read_bytes() == b'{"key": "a'


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_runs_that_cannot_be_written_are_one_line_before_anything_starts(
    make, runs, monkeypatch, number, call
):
    def refused(path, *args, **kwargs):
        raise OSError(number, os.strerror(number), str(path))

    if call == "open":
        (runs / "x").mkdir(parents=True)
    monkeypatch.setattr(*((Path, "mkdir") if call == "mkdir" else (os, "open")), refused)
    monkeypatch.setattr("harness.sweep.run._run", lambda *args: pytest.fail("Ray was started"))
    with pytest.raises(RecordsError, match=f"x: cannot be written: {os.strerror(number)}$"):
        run_sweep(make(), runs=runs, catalog=FakeCatalog())


def done(key: str) -> Record:
    trial = {"dataset": "toybox", "backbone": "toybox", "method": "frozen", "title": "Frozen"}
    trial |= {"params": {}, "lipschitz": None, "subject": key, "shots": 0, "seed": 0}
    keys = {"fit": "f", "sample": key, "score": "s"}
    finished = {"finished": "2026-01-01T00:00:00+00:00"}
    measured = {"scores": {"dino": 0.5}, "drift": {"noise_l2": 1.0}, "seconds": {"fit": 1.0, "sample": 1.0}}
    return Record(key=key, keys=keys, status="done", trial=trial, provenance=finished, **measured)


@pytest.mark.parametrize("at", [1, 3, 4])
def test_tables_and_figures_that_find_the_disk_full_are_written_again_later(tmp_path, monkeypatch, at):
    folder = tmp_path / "x"
    folder.mkdir()
    for key in "ab":
        Lines(folder).append(done(key))
    monkeypatch.setattr(os, "fsync", FullAt(os.fsync, at))
    with pytest.raises(RecordsError, match=f"{folder}/.*: cannot be written: {FULL}$"):
        publish.publish(folder)
    assert not publish.is_current(folder) and len(read(folder)) == 2
    monkeypatch.undo()
    publish.publish(folder)
    assert publish.is_current(folder)
    report = document.write([folder], folder / document.FILE).read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordsError, match=f"report.html: cannot be written: {FULL}$"):
        document.write([folder], folder / document.FILE)
    assert (folder / document.FILE).read_bytes() == report


@pytest.mark.parametrize("step", ["open", "put", "finish"])
def test_an_mlflow_store_on_a_full_disk_costs_one_line_and_no_trial(tmp_path, monkeypatch, step):
    (tmp_path / "x").mkdir()
    store = Store(tmp_path, "x")
    for name in ("open", "put", "finish"):
        monkeypatch.setattr(store, name, full if name == step else lambda *args, **how: None)
    said: list[str] = []
    mirror = Mirror(store, said.append)
    for key in "abc":
        mirror.recorded(done(key))
    mirror.close()
    (line,) = said
    assert FULL in line and "mlflow.db" in line and "`harness mirror x --runs" in line


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, FULL), SafetensorError(f"I/O error: {FULL}")])
def test_an_export_that_finds_the_disk_full_is_one_line(tmp_path, monkeypatch, error):
    def write(backbone, out):
        raise error

    class Restored:
        backbone = phrase = None

    monkeypatch.setattr(export, "restore", lambda *args, **how: Restored)
    monkeypatch.setattr(export.export, "write", write)
    with pytest.raises(RecordsError, match=f"out: cannot be written: .*{FULL}$"):
        export.export_trial(tmp_path, done("a"), tmp_path / "out", progress=lambda *told: None)


def test_a_sheet_that_finds_the_disk_full_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordsError, match=f"sheet.png: cannot be written: {FULL}$"):
        sheet.save(tmp_path / "new" / "sheet.png", Image.new("RGB", (2, 2)))
    assert not (tmp_path / "new" / "sheet.png").exists()


def test_a_base_model_that_the_cache_has_no_room_for_is_one_line(tmp_path, monkeypatch):
    from harness.diffusion.backbones.locate import backbone_revision
    from harness.toybox import loading

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    monkeypatch.setattr(loading, "assemble", full)
    said = rf"^{tmp_path}/toybox-sd/\S+: cannot be written: {FULL}; HARNESS_CACHE names another folder$"
    with pytest.raises((RecordsError, BackboneError), match=said):
        backbone_revision(BackboneSpec(name="toybox"))
    assert not list((tmp_path / "toybox-sd").iterdir())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, FULL, "/a/b"), f"harness: /a/b: {FULL}\n"),
        (OSError(errno.ENOSPC, FULL), f"harness: OSError: [Errno {errno.ENOSPC}] {FULL}\n"),
    ],
)
def test_what_no_command_foresaw_is_one_line_too(monkeypatch, capsys, error, line):
    def app(**how):
        raise error

    monkeypatch.setattr(main, "app", app)
    monkeypatch.setattr(sys, "argv", ["harness", "list", "methods"])
    with pytest.raises(SystemExit) as left:
        main.main()
    assert (left.value.code, capsys.readouterr().err) == (1, line)


def test_an_experiment_file_that_was_not_written_whole_is_not_there_the_next_time(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    real = Path.open

    def opened(path, mode="r", *args, **how):
        file = real(path, mode, *args, **how)
        if mode == "x":
            file.close()
            full()
        return file

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(sys, "argv", ["harness", "init", "mugs"])
    with pytest.raises(SystemExit) as left:
        main.main()
    assert left.value.code == 2
    assert capsys.readouterr().err == f"harness: mugs.yaml: cannot be written: {FULL}\n"
    assert not (tmp_path / "mugs.yaml").exists()
