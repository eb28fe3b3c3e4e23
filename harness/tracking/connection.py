"""A client of an MLflow store whose schema is whole, whatever was killed or is at work beside it."""

from __future__ import annotations

import time
from pathlib import Path

import mlflow
from sqlalchemy.exc import IntegrityError, ProgrammingError

from harness.tracking.environment import is_database

SQLITE = "sqlite:///"
PAUSES = (1.0, 2.0, 4.0)
"""Seconds between attempts while another command creates the schema of the same database."""


def connected(uri: str) -> mlflow.MlflowClient:
    """Give a client, and the database MLflow's schema if it has none; raises whatever MLflow raises.

    A new sqlite file is made beside and moved into place: MLflow cannot go on with a schema that a kill left
    half made. Of two commands that find another database empty one loses, and looks again.
    """
    if uri.startswith(SQLITE):
        _create(Path(uri.removeprefix(SQLITE)))
    for pause in PAUSES if is_database(uri) else ():
        try:
            return mlflow.MlflowClient(uri)
        except (IntegrityError, ProgrammingError):
            time.sleep(pause)
    return mlflow.MlflowClient(uri)


def _create(database: Path) -> None:
    if database.exists():
        return
    part = database.with_name(f"{database.name}.part")
    part.unlink(missing_ok=True)
    mlflow.MlflowClient(f"{SQLITE}{part.as_posix()}")
    part.replace(database)
