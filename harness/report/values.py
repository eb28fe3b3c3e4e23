"""The numbers of a record by the names of their columns, and which of them count. Knows no rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from harness.metrics.registry import MEASURES
from harness.records import Record


def values(record: Record) -> dict[str, float | None]:
    """Give every number of a record by the name of its column, None where it is empty or :func:`outdated`."""
    memory = record.peak_memory_bytes
    old = _old(tuple(each for each in _encoders(record).items() if isinstance(each[1], str)))
    measured = {**record.scores, **record.drift}
    return {
        **{name: None if name in old else value for name, value in measured.items()},
        **{f"seconds_{stage}": spent for stage, spent in record.seconds.items()},
        "peak_memory": None if memory is None else memory / 2**20,
    }


def outdated(record: Record, name: str) -> int | None:
    """Give the version that a number was recorded under, where its measure has become another since."""
    return _outdated(name, _encoders(record).get(name))


@cache
def _old(encoders: tuple[tuple[str, str], ...]) -> frozenset[str]:
    """Which of a record's measures are outdated; most records name the same encoders."""
    return frozenset(name for name, named in encoders if _outdated(name, named))


def _encoders(record: Record) -> Mapping[str, Any]:
    return record.provenance.get("encoders") or {}


def _outdated(name: str, named: object) -> int | None:
    version = _version(named) if name in MEASURES and isinstance(named, str) else None
    return version if version and version != MEASURES[name].version else None


@cache
def _version(named: str) -> int | None:
    """Read the version off what stood behind a measure: "toybox-dino (toybox:1), v2"."""
    written = re.search(r", v(\d+)$", named)
    return int(written[1]) if written else None
