"""The MLflow mirror: complete, idempotent, never in the way. Uses a real sqlite store."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from harness.errors import visible
from harness.records import Lines, Record
from harness.tracking.mirror import Mirror, Store, catch_up
from harness.tracking.mlflow_store import MARK

mlflow = pytest.importorskip("mlflow")


def record(key: str, status: str = "done", **changes) -> Record:
    fixed = {
        "key": key,
        "keys": {"fit": "f", "sample": key, "score": "s"},
        "status": status,
        "trial": {
            "dataset": "toybox",
            "backbone": "toybox",
            "method": "tuned",
            "title": "Tuned",
            "params": {"lr": 0.001, "targets": ["to_q"]},
            "lipschitz": {"penalty": 500.0},
            "subject": "s0",
            "shots": 3,
            "seed": 0,
        },
        "scores": {"dino": 0.5, "clip_t": None},
        "drift": {"weight_l2": 2.0},
        "seconds": {"fit": 1.0, "sample": 2.0, "score": 3.0},
        "provenance": {"finished": "2026-01-01T00:00:00+00:00", "commit": "abc", "dirty": False},
    }
    return Record.model_validate(fixed | changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One store for all tests: making a schema takes seconds. Each test has an experiment of its own."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def folder(runs, request):
    folder = runs / request.node.name
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "fit.json").write_text(json.dumps({"losses": [3.0, 2.0, 1.0]}))
    (folder / "a" / "contact_sheet.png").write_bytes(b"png")
    (folder / "experiment.yaml").write_text("name: x\n")
    return folder


def stored(folder):
    """All runs of an experiment: (parents, trials by key)."""
    client = mlflow.MlflowClient(tracking_uri=Store(folder.parent, folder.name).uri)
    experiment = client.get_experiment_by_name(folder.name)
    found = client.search_runs([experiment.experiment_id])
    parents = [run for run in found if run.data.tags["harness.kind"] == "sweep"]
    return client, parents, [run for run in found if run.data.tags["harness.kind"] == "trial"]


def test_a_record_becomes_a_nested_run_with_all_that_belongs_to_it(folder):
    Lines(folder).append(record("a"))
    (folder / "tables").mkdir()
    (folder / "tables" / "table.md").write_text("| |")
    assert catch_up(Store(folder.parent, folder.name), tables=[folder / "tables"]) == 1
    client, (parent,), (run,) = stored(folder)
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (run.info.status, parent.info.status) == ("FINISHED", "FINISHED")
    metrics = run.data.metrics
    assert metrics["dino"] == 0.5 and "clip_t" not in metrics
    assert metrics["drift.weight_l2"] == 2.0 and metrics["seconds.fit"] == 1.0
    params = run.data.params
    assert (
        params["params.lr"] == "0.001" and params["lipschitz.penalty"] == "500.0" and params["shots"] == "3"
    )
    wanted = {"backbone": "toybox", "method": "tuned", "commit": "abc", "harness.key": "a"}
    assert wanted.items() <= run.data.tags.items()
    curve = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {"contact_sheet.png", "trial.json"}
    assert {f.path for f in client.list_artifacts(parent.info.run_id)} == {"experiment.yaml", "tables"}


def test_catching_up_twice_changes_nothing_and_a_superseding_record_takes_over_its_run(folder):
    Lines(folder).append(record("a", "failed", error="NaN loss at step 3", scores={}))
    Lines(folder).append(record("b"))
    for _ in range(2):
        catch_up(Store(folder.parent, folder.name))
        _, (parent,), runs = stored(folder)
        status = {run.data.tags["harness.key"]: run.info.status for run in runs}
        assert status == {"a": "FAILED", "b": "FINISHED"} and len(runs) == 2
        assert parent.info.status == "FAILED"
    Lines(folder).append(record("a", scores={"dino": 0.7}))
    catch_up(Store(folder.parent, folder.name))
    _, (parent,), runs = stored(folder)
    (again,) = [run for run in runs if run.data.tags["harness.key"] == "a"]
    assert len(runs) == 2 and again.info.status == parent.info.status == "FINISHED"
    assert again.data.metrics["dino"] == 0.7 and again.data.tags["error"] == ""


def test_a_superseded_record_whose_describing_words_changed_is_mirrored_again(folder):
    Lines(folder).append(record("a"))
    catch_up(Store(folder.parent, folder.name))
    first = record("a")
    renamed = {"backbone": "another name", "title": "T", "dataset": "d", "sampling": {"clip_text": "raw"}}
    Lines(folder).append(record("a", trial={**first.trial, **renamed, "params": {"lr": 1, "targets": []}}))
    catch_up(Store(folder.parent, folder.name))
    _, _, (run,) = stored(folder)
    wanted = {"backbone": "another name", "title": "T", "dataset": "d", "clip_text": "raw"}
    assert wanted.items() <= run.data.tags.items()
    assert run.data.params["params.lr"] == "0.001"  # what the key stands for is written once


def test_a_deleted_experiment_is_mirrored_again(folder):
    Lines(folder).append(record("a"))
    catch_up(Store(folder.parent, folder.name))
    client, _, _ = stored(folder)
    client.delete_experiment(client.get_experiment_by_name(folder.name).experiment_id)
    catch_up(Store(folder.parent, folder.name))
    _, (parent,), (run,) = stored(folder)
    assert run.info.status == parent.info.status == "FINISHED"


def test_a_mirror_left_by_an_exception_ends_its_run(folder):
    Lines(folder).append(record("a"))
    with pytest.raises(OSError), Mirror(Store(folder.parent, folder.name), pytest.fail) as mirror:
        mirror.recorded(record("a"))
        raise OSError("full")
    _, (parent,), _ = stored(folder)
    assert parent.info.status == "KILLED"


def test_the_hint_names_the_store_as_the_user_gave_it(tmp_path):
    assert Store(Path("runs"), "x").command == "harness mirror x"
    elsewhere = Store(Path("my"), "x", "http://h:1").command
    assert elsewhere == "harness mirror x --runs my --mlflow http://h:1"


def test_the_stores_password_is_never_shown(folder):
    said: list[str] = []
    store = Store(folder.parent, folder.name, "postgresql://me:s%40cret@h/db")
    Mirror(store, said.append)._lose(OSError("no postgresql://me:s%40cret@h/db"))
    assert said[0].count("me:***@h/db") == 3 and "cret" not in said[0]
    Lines(folder).append(record("a"))
    assert store._mark()["uri"] == "postgresql://me:***@h/db"
    assert Store(folder.parent, "x", "http://h:1/a@b").hide("http://h:1/a@b") == "http://h:1/a@b"


def test_a_run_that_a_killed_mirror_left_open_is_completed_not_doubled(folder):
    store = Store(folder.parent, folder.name)
    store.open()
    store._new_run(record("a"))  # killed right after
    Lines(folder).append(record("a"))
    catch_up(Store(folder.parent, folder.name))
    _, (parent,), (run,) = stored(folder)
    assert run.info.status == parent.info.status == "FINISHED" and run.data.metrics["dino"] == 0.5


def test_the_mirror_follows_a_sweep_and_catches_up_with_earlier_records(folder):
    Lines(folder).append(record("earlier"))
    said: list[str] = []
    mirror = Mirror(Store(folder.parent, folder.name), said.append)
    mirror.started([], [], 1)
    Lines(folder).append(record("a"))
    mirror.recorded(record("a"))
    mirror.close(failed=0, interrupted=True)
    _, (parent,), runs = stored(folder)
    assert {run.data.tags["harness.key"] for run in runs} == {"earlier", "a"}
    assert said == [] and parent.info.status == "KILLED"
    assert all(run.info.status == "FINISHED" for run in runs)


def test_a_sweep_interrupted_after_its_last_trial_is_ended_by_the_next(folder):
    """A signal while the tables are written: all is recorded and mirrored, but the run is not ended."""
    Lines(folder).append(record("a"))
    mirror = Mirror(Store(folder.parent, folder.name), pytest.fail)
    mirror.recorded(record("a"))
    mirror.close(interrupted=True)
    assert not Store(folder.parent, folder.name).current()
    (folder / "tables").mkdir()
    (folder / "tables" / "table.md").write_text("| |")
    Mirror(Store(folder.parent, folder.name), pytest.fail).close(tables=[folder / "tables"])
    client, (parent,), (run,) = stored(folder)
    assert run.info.status == parent.info.status == "FINISHED"
    assert [each.path for each in client.list_artifacts(parent.info.run_id, "tables")] == ["tables/table.md"]
    assert Store(folder.parent, folder.name).current()


def test_a_mirror_with_nothing_to_add_loads_nothing(folder, monkeypatch):
    Lines(folder).append(record("a"))
    store = Store(folder.parent, folder.name)
    assert not store.current()
    catch_up(store)
    assert store.current() and not Store(folder.parent, folder.name, "http://elsewhere").current()
    monkeypatch.setattr(store, "open", lambda: pytest.fail("opened"))
    Mirror(store, pytest.fail).close()
    Lines(folder).append(record("b"))
    assert not store.current()


def test_a_database_made_anew_or_missing_is_not_taken_for_the_mirrored_one(tmp_path):
    (tmp_path / "x").mkdir()
    Lines(tmp_path / "x").append(record("a"))
    database = tmp_path / "mlflow.db"
    database.write_bytes(b"the first")
    store = Store(tmp_path, "x")
    (tmp_path / "x" / MARK).write_text(json.dumps(store._mark()))
    assert store.current()
    (tmp_path / "another").write_bytes(b"the second")
    (tmp_path / "another").replace(database)
    assert not store.current()
    database.unlink()
    assert not store.current()


def test_a_sweep_goes_on_while_the_store_does_not_answer(folder, monkeypatch):
    store, answers = Store(folder.parent, folder.name), threading.Event()
    monkeypatch.setattr(store, "open", answers.wait)
    mirrored: list[str] = []
    monkeypatch.setattr(store, "put", lambda record: mirrored.append(record.key))
    monkeypatch.setattr(store, "finish", lambda **how: None)
    mirror = Mirror(store, pytest.fail)
    for key in "abcdefgh":
        mirror.recorded(record(key))  # returns, or the test never ends: nothing has answered yet
    assert mirrored == []
    answers.set()
    mirror.close()
    assert mirrored == list("abcdefgh")


def test_a_server_that_is_not_there_costs_one_line(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"  # bound, but nobody listens
        said: list[str] = []
        mirror = Mirror(Store(folder.parent, folder.name, uri), said.append)
        for key in "abcdefgh":
            mirror.recorded(record(key))
        mirror.close()
    assert len(said) == 1 and uri in said[0] and f"harness mirror {folder.name}" in said[0]


def test_kill_while_the_database_is_made_leaves_none_behind(tmp_path, monkeypatch):
    import mlflow

    made = []

    class Killed(BaseException):
        pass

    def client(tracking_uri):
        path = Path(tracking_uri.removeprefix("sqlite:///"))
        path.write_bytes(b"half a schema")
        made.append(path)
        raise Killed

    (tmp_path / "runs" / "x").mkdir(parents=True)
    store = Store(tmp_path / "runs", "x")
    with monkeypatch.context() as patched:
        patched.setattr(mlflow, "MlflowClient", client)
        with pytest.raises(Killed):
            store.open()
    assert made[0].exists() and not (tmp_path / "runs" / "mlflow.db").exists()
    store.open()
    assert (tmp_path / "runs" / "mlflow.db").exists()


def test_a_readout_is_a_parameter_a_tag_and_numbers_of_its_run(folder):
    trial = {**record("a").trial, "readout": {"kind": "budget", "value": 5.0, "measure": "noise_l2"}}
    found = {"alpha": 0.5, "limit": 5.0, "calibration": 4.98, "evaluations": 3.0}
    shared = {**record("a").provenance, "fit_shared": True}
    Lines(folder).append(record("a", trial=trial, readout=found, provenance=shared))
    Lines(folder).append(record("b"))
    catch_up(Store(folder.parent, folder.name))
    _, _, found_runs = stored(folder)
    runs = {run.data.tags["harness.key"]: run for run in found_runs}
    run = runs["a"]
    assert run.data.params["trial.readout"] == run.data.tags["trial.readout"] == "budget:5"
    assert run.data.metrics["readout.alpha"] == 0.5 and run.data.metrics["seconds.fit"] == 1.0
    assert run.info.end_time - run.info.start_time == 5000
    assert not any("readout" in name for name in (*runs["b"].data.params, *runs["b"].data.tags))


def toybox_record(key: str, method: str, subject: str, score: float) -> Record:
    trial = {**record(key).trial, "method": method, "title": method.title(), "subject": subject}
    trial |= {"sampling": {"sampler": "ddim", "steps": 5, "guidance": 5.0}, "params": {}, "lipschitz": None}
    provenance = {**record(key).provenance, "data_revision": "d1a2"}
    return record(key, trial=trial, scores={"dino_heldout": score}, provenance=provenance)


def test_experiment_and_parent_say_what_was_asked_found_and_measured_and_on_which_data(folder):
    (folder / "experiment.yaml").write_text("name: x\nquestion: Which one keeps it?\n")
    lead = {"dreambooth": 0.2, "textual_inversion": 0.0}
    base = {"s0": 0.5, "s1": 0.6, "s2": 0.3, "s3": 0.45}
    for method, more in lead.items():
        for number, (subject, score) in enumerate(base.items()):
            made = toybox_record(f"{method}{number}", method, subject, score + more + number / 1000 * more)
            Lines(folder).append(made)
    for _ in range(2):
        catch_up(Store(folder.parent, folder.name))
    client, (parent,), runs = stored(folder)
    experiment = client.get_experiment_by_name(folder.name)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    view = json.loads(experiment.tags["mlflow.sharedViewState.harness"])
    found = client.search_runs([experiment.experiment_id], view["searchFilter"])
    assert {run.info.run_id for run in found} == {run.info.run_id for run in runs}
    shown = [column.split("`")[1] for column in view["selectedColumns"]]
    assert shown[:2] == ["title", "subject"] and "dino_heldout" in shown
    note = experiment.tags["mlflow.note.content"]
    assert note == parent.data.tags["mlflow.note.content"]
    assert note.startswith("**Which one keeps it?**\n\n") and "| Textual_Inversion" in note
    assert "(n = 4): best Dreambooth (0.663)\n" in note  # 0.4625 + 0.2 · 1.0015, the other is told from it
    metrics = parent.data.metrics
    assert metrics["mean/dino_heldout/Dreambooth/3 shots"] == pytest.approx(0.4625 + 0.2 * 1.0015)
    assert metrics["mean/dino_heldout/Textual_Inversion/3 shots"] == pytest.approx(0.4625)
    for run in (parent, runs[0]):
        (data,) = run.inputs.dataset_inputs
        assert (data.dataset.name, data.dataset.digest) == ("toybox", "d1a2")
        assert run.data.tags["mlflow.source.name"] == f"harness sweep {folder.name}"
        assert run.info.user_id == run.data.tags["mlflow.user"] != ""


def test_a_name_of_a_metric_has_only_what_mlflow_takes():
    from mlflow.utils.validation import _validate_metric_name

    from harness.tracking.description import metric_name

    name = metric_name("mean/clip_t/DreamBooth (lr=1e-05, λ=20, ‖Δθ‖ ≤ 3)/5 shots")
    _validate_metric_name(name)
    assert name == "mean/clip_t/DreamBooth lr 1e-05 λ 20 Δθ 3 /5 shots"


def test_names_made_to_do_harm_are_words_in_the_mirror(folder):
    names = {
        "title": "a|b \x1b[31mred\nforged",
        "subject": "../../rex\x00\u202egpj",
        "backbone": "<svg onload=alert(1)>\r\x9b2J",
        "dataset": "=HYPERLINK(1),\x00",
        "params": {"lr": "\x1b[1m\x00"},
    }
    trial = record("a").trial | names
    Lines(folder).append(record("a", trial=trial, error="\x00 no"))
    Lines(folder).append(record("b", trial=trial | {"subject": "rex"}))
    assert catch_up(Store(folder.parent, folder.name)) == 2
    client, (parent,), runs = stored(folder)
    assert len(runs) == 2
    note = client.get_experiment_by_name(folder.name).tags["mlflow.note.content"]
    words = note.splitlines()
    for run in (parent, *runs):
        words += [run.info.run_name, *run.data.params.values(), *run.data.tags.values()]
        words += [one.dataset.name for one in run.inputs.dataset_inputs]
    words.remove(parent.data.tags["mlflow.note.content"])
    assert all(visible(line) == line for line in words)
    (hostile,) = (run for run in runs if run.data.tags["harness.key"] == "a")
    assert hostile.data.tags["subject"] == "../../rex\\x00\\u202egpj"
    assert {f.path for f in client.list_artifacts(hostile.info.run_id)} == {"contact_sheet.png", "trial.json"}
