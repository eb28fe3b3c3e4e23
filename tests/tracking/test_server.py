"""The UI's server processes end with the command that started them, and the links lead to the runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.records import Lines
from harness.tracking import server
from harness.tracking.mirror import Store, catch_up

from .test_mirror import record

mlflow = pytest.importorskip("mlflow")
ROOT = Path(__file__).parents[2]
GROUP_WITH_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); "
                          "print('up', flush=True); time.sleep(600)"])
time.sleep(600)
"""


def alive_in_group(number: int) -> list[int]:
    """Processes of a group that are not zombies, by /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(group) == number and state != "Z":
            found.append(int(path.parent.name))
    return found


def test_a_group_is_ended_with_a_child_that_does_not_listen():
    leader = subprocess.Popen([sys.executable, "-c", GROUP_WITH_A_CHILD], start_new_session=True, stdout=-1)
    assert leader.stdout is not None and leader.stdout.readline() == b"up\n"
    assert len(alive_in_group(leader.pid)) == 2
    server.end_group(leader, patience=1)
    assert alive_in_group(leader.pid) == []
    leader.stdout.close()


def test_sigterm_to_harness_ui_ends_every_process_of_the_server(tmp_path):
    (tmp_path / "demo" / "a").mkdir(parents=True)
    Lines(tmp_path / "demo").append(record("a"))
    catch_up(Store(tmp_path, "demo"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "harness", "ui", "--runs", str(tmp_path), "--port", str(port)]
    ui = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, stdout=-3, text=True
    )
    assert ui.stderr is not None
    lines = [ui.stderr.readline()]
    while "demo  http" not in lines[-1]:
        assert lines[-1], lines
        lines.append(ui.stderr.readline())
    assert (
        lines[-1]
        .strip()
        .endswith(
            f"http://127.0.0.1:{port}/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=harness"
        )
    )
    children = Path(f"/proc/{ui.pid}/task/{ui.pid}/children").read_text().split()
    groups = [int(child) for child in children]
    assert any(alive_in_group(group) for group in groups)
    ui.send_signal(signal.SIGTERM)
    ui.stderr.close()
    assert ui.wait(60) == 128 + signal.SIGTERM
    assert not [process for group in groups for process in alive_in_group(group)]


def test_a_store_that_cannot_be_asked_gives_the_plain_address(monkeypatch):
    assert server.links("http://127.0.0.1:1", "http://here/") == ["http://here/"]
