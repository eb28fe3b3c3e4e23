"""MLflow's UI as a child of this process: where its experiments are, and an end that leaves nothing behind.

Imports MLflow only to ask the store for its experiments, while the server is starting.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from harness.tracking.description import VIEW, VIEW_TAG
from harness.tracking.environment import hush, quiet

if TYPE_CHECKING:
    from mlflow.entities import Experiment

PATIENCE = 5.0
"""Seconds that the server's processes get to end by themselves."""
WORKERS = "1"
"""For one user. Of several, MLflow's server kills each that does not come up in 5 s, as on a busy machine."""
RUNS_PAGE = "#/experiments/{}/runs?workflowType=machine_learning"
"""MLflow's address of an experiment's runs, in its mode for training models."""
CHOSEN = f"&viewStateShareKey={VIEW}"
"""What lets the page show the columns that the mirror chose."""


def serve(uri: str, host: str, port: int, *, say: Callable[[str], None]) -> int:
    """Run MLflow's UI until it ends or this process is told to; return its exit status.

    The server and its workers have a process group of their own, and are ended with it: at SIGTERM, SIGHUP
    and SIGINT (Ctrl-C), and after any error here.
    """
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--host", host, "--port", str(port), "--workers", WORKERS]
    environment = {**os.environ, **quiet(os.environ)}
    with _told_to_end():
        server = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            for line in links(uri, f"http://{host}:{port}/"):
                say(line)
            return server.wait()
        finally:
            end_group(server)


def links(uri: str, address: str) -> list[str]:
    """Write a line for each experiment: its name, the address of its runs; without any, the address alone."""
    hush()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        found = MlflowClient(tracking_uri=uri).search_experiments(order_by=["name"])
    except MlflowException:  # the server says what is wrong
        return [address]
    rows = [each for each in found if each.name != "Default"]
    width = max((len(each.name) for each in rows), default=0)
    return [f"{each.name:{width}}  {address}{_page(each)}" for each in rows] or [address]


def _page(experiment: Experiment) -> str:
    return RUNS_PAGE.format(experiment.experiment_id) + CHOSEN * (VIEW_TAG in experiment.tags)


def end_group(server: subprocess.Popen[bytes], patience: float = PATIENCE) -> None:
    """End a process that leads a group, and all of the group: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(patience)
    deadline = time.monotonic() + patience
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:  # a killed process takes a moment to go
            os.killpg(server.pid, 0)
            time.sleep(0.02)


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave the block as Ctrl-C does."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
