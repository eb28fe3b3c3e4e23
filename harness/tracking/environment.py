"""What MLflow reads from the environment when it is imported, and whether it has a store for an address.

Telemetry is off unless the user turned it on. Imports MLflow only to ask for an address that is not common.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from urllib.parse import urlsplit

from harness.errors import ConfigError, one_line

TELEMETRY, TRACK = "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"
QUIET = {
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}
COMMON = ("sqlite", "http", "https", "file")
"""Schemes that every MLflow has a store for: asked of nobody, for its import takes seconds."""
PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""A database's driver → what to install, where that has another name."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Schemes, driver aside, of stores that are written without a server: artifacts are the client's to place."""


def quiet(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is to be added to an environment; what the user has set there stands.

    Either of MLflow's two switches turns its telemetry off. Where the user has set one, the other is left
    alone: MLFLOW_DISABLE_TELEMETRY=false turns it on.
    """
    switches = {} if {TELEMETRY, TRACK} & environment.keys() else {TELEMETRY: "true", TRACK: "true"}
    return {name: value for name, value in {**QUIET, **switches}.items() if name not in environment}


def hush(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add to this process's environment what :func:`quiet` says; to be called before MLflow is imported."""
    environment.update(quiet(environment))


def is_database(uri: str) -> bool:
    """Say whether a store is a database that is written to directly, with no server between."""
    return urlsplit(uri).scheme.partition("+")[0] in DATABASES


def check_address(uri: str | None) -> None:
    """Refuse an address that MLflow has no store for, and a database whose driver is not installed.

    Raises ConfigError; whether it answers is not asked.
    """
    if uri is None or urlsplit(uri).scheme in COMMON:
        return
    hush()
    from mlflow.exceptions import MlflowException
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry as registry

    try:
        registry.get_store_builder(uri)
    except MlflowException as error:
        known = ", ".join(sorted(filter(None, registry._registry)))
        scheme = urlsplit(uri).scheme
        why = f"MLflow has no store for {scheme}://" if scheme else one_line(error)
        raise ConfigError(f"--mlflow {uri}: {why}; known: {known}") from None
    if is_database(uri):
        _check_driver(uri)


def _check_driver(uri: str) -> None:
    from sqlalchemy.engine import make_url

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        scheme, package = urlsplit(uri).scheme, PACKAGES.get(str(error.name), error.name)
        raise ConfigError(f"--mlflow {scheme}://…: its driver is missing: pip install {package}") from None
