"""MLflow is told not to report on its users before it is imported; an address without a store is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.tracking.environment import check_address, is_database, quiet
from harness.tracking.mlflow_store import Store

ROOT = Path(__file__).parents[2]
ASK = """
import json, sys
from pathlib import Path
from harness.tracking.mlflow_store import Store
before = "mlflow" in sys.modules
Store(Path(sys.argv[1]), "x").open()
from mlflow.telemetry import get_telemetry_client, utils
utils._IS_IN_CI_ENV_OR_TESTING = False  # what MLflow would do outside of tests
print(json.dumps([before, utils.is_telemetry_disabled()]))
"""


@pytest.mark.parametrize(
    ("set_by_user", "disabled"), [({}, True), ({"MLFLOW_DISABLE_TELEMETRY": "false"}, False)]
)
def test_telemetry_is_off_unless_the_user_turned_it_on(tmp_path, set_by_user, disabled):
    inherited = {k: v for k, v in os.environ.items() if k not in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")}
    environment = {**inherited, "PYTHONPATH": str(ROOT), "HTTPS_PROXY": "http://127.0.0.1:1", **set_by_user}
    command = [sys.executable, "-c", ASK, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1]) == [False, disabled], done.stderr


def test_what_the_user_set_stands():
    assert not quiet({"DO_NOT_TRACK": "1"}).keys() & {"DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY"}
    assert quiet({"MLFLOW_HTTP_REQUEST_TIMEOUT": "99"}).keys().isdisjoint({"MLFLOW_HTTP_REQUEST_TIMEOUT"})


@pytest.mark.parametrize("uri", ["ftp://x", "s3://bucket/x", "nonsense://"])
def test_an_address_without_a_store_is_refused_with_those_that_have_one(uri):
    with pytest.raises(ConfigError, match=r"no store for .*; known: .*http, https, .*postgresql, sqlite"):
        check_address(uri)


@pytest.mark.parametrize(
    "uri",
    [None, "sqlite:///a.db", "http://127.0.0.1:1", "mlruns", "databricks"],
)
def test_an_address_with_a_store_passes_whether_or_not_it_answers(uri):
    check_address(uri)


@pytest.mark.parametrize(
    ("driver", "install"), [("psycopg", r"'psycopg\[binary\]'"), ("psycopg2", "psycopg2-binary")]
)
def test_a_database_whose_driver_is_missing_is_refused_with_what_to_install(monkeypatch, driver, install):
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(ConfigError, match=rf"^--mlflow postgresql\+{driver}://…: .*pip install {install}$"):
        check_address(f"postgresql+{driver}://user:secret@host/database")


@pytest.mark.parametrize(
    ("uri", "direct"),
    [
        ("sqlite:///a.db", True),
        ("postgresql://u@h/d", True),
        ("postgresql+psycopg://u@h/d", True),
        ("mysql+pymysql://u@h/d", True),
        ("http://127.0.0.1:1", False),
        ("mlruns", False),
        ("databricks", False),
    ],
)
def test_artifacts_of_a_store_without_a_server_are_the_clients_to_place(tmp_path, uri, direct):
    assert is_database(uri) is direct
    assert bool(Store(tmp_path, "any", uri)._artifacts) is direct
