"""Connecting to a store: of two commands that create a database's schema at once, both get on."""

import mlflow
import pytest
from sqlalchemy.exc import IntegrityError

from harness.tracking import connection


@pytest.fixture
def beaten(monkeypatch):
    """How often another command is still creating the schema."""

    def times(count):
        asked = []

        def client(uri):
            asked.append(uri)
            if len(asked) <= count:
                raise IntegrityError("CREATE TABLE experiments", {}, Exception("already exists"))
            return uri

        monkeypatch.setattr(mlflow, "MlflowClient", client)
        return asked

    monkeypatch.setattr(connection, "PAUSES", (0.0, 0.0, 0.0))
    return times


def test_who_finds_the_schema_half_made_looks_again(beaten):
    asked = beaten(2)
    assert connection.connected("postgresql://host/database") == "postgresql://host/database"
    assert len(asked) == 3


def test_a_database_that_stays_broken_is_told(beaten):
    asked = beaten(99)
    with pytest.raises(IntegrityError):
        connection.connected("postgresql://host/database")
    assert len(asked) == 4


def test_a_server_is_asked_once(beaten):
    asked = beaten(99)
    with pytest.raises(IntegrityError):
        connection.connected("http://127.0.0.1:1")
    assert len(asked) == 1


def test_a_schema_that_a_kill_left_half_made_is_made_anew(tmp_path):
    part = tmp_path / "mlflow.db.part"
    part.write_bytes(b"half a schema")
    client = connection.connected(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert [each.name for each in client.search_experiments()] == ["Default"]
    assert not part.exists()
