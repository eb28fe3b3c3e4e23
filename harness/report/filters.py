"""Which records a table or figure speaks about: conditions such as ``shots=5`` or ``method=dreambooth``.

Reads and checks the conditions; knows nothing of averages or layout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.config.titles import distinct_titles, identity, title
from harness.diffusion.constraints.base import Constraint
from harness.diffusion.constraints.registry import kinds
from harness.errors import ConfigError, one_of
from harness.methods import role_of
from harness.records import Record
from harness.specs import Readout

NONE = "none"
"""The value that stands for "no such constraint" in ``penalty=none``, for a fit's own end in ``readout``."""

Conditions = Mapping[str, frozenset[str]]


def _strength(kind: type[Constraint]) -> Callable[[Mapping[str, Any]], str]:
    def read(trial: Mapping[str, Any]) -> str:
        value = (trial.get("lipschitz") or {}).get(kind.key)
        return NONE if value is None else f"{value:g}"

    return read


STRENGTHS = {kind.key: _strength(kind) for kind in kinds()}
"""Conditions on the strength of a constraint, one for each kind."""


KEYS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "dataset": lambda trial: str(trial["dataset"]),
    "backbone": lambda trial: str(trial["backbone"]),
    "method": lambda trial: str(trial["method"]),
    "title": lambda trial: identity(trial),
    "subject": lambda trial: str(trial["subject"]),
    "shots": lambda trial: "all" if trial.get("all_shots") else str(trial["shots"]),
    "seed": lambda trial: str(trial["seed"]),
    "readout": lambda trial: readout.short if (readout := Readout.of(trial)) else NONE,
    **STRENGTHS,
}
"""What a condition may name, and how to read it off a trial; a title stands for the settings it names."""

_SETTING = ("dataset", "backbone", "subject")
"""Conditions that hold for floors and ceilings too: they depend on nothing else."""


def parse(conditions: Sequence[str], records: Sequence[Record]) -> Conditions:
    """Read ``key=value`` and ``key=value,value`` (any of them), checked against what the records hold.

    Several conditions must hold together; the same key twice widens it. Raises ConfigError for a condition
    that is not of this form, an unknown key and a value that no record has, naming the alternatives.
    """
    wanted: dict[str, set[str]] = {}
    for condition in conditions:
        key, values = split(condition)
        present = _present(key, records)
        # Titles hold commas: "Real photos, autoencoded".
        texts = [values] if values.strip() in present else values.split(",")
        for text in texts:
            value = _number(text.strip()) if key in STRENGTHS else text.strip()
            if value not in present:
                raise ConfigError(f"--where {condition}: {one_of(value, present, noun=key)}")
            wanted.setdefault(key, set()).update(present[value])
    return {key: frozenset(values) for key, values in wanted.items()}


def split(condition: str) -> tuple[str, str]:
    """Take a condition apart into key and values. Raises ConfigError for another form and an unknown key."""
    key, equals, values = condition.partition("=")
    key = key.strip()
    if not equals or not values.strip():
        raise ConfigError(f"--where {condition}: write it as key=value, for example shots=5")
    if key not in KEYS:
        raise ConfigError(f"--where {condition}: {one_of(key, KEYS, noun='key')}")
    return key, values


def _present(key: str, records: Sequence[Record]) -> dict[str, set[str]]:
    """Give what a condition on ``key`` may say, and what each of it stands for.

    A title is what the column of methods shows: in the table of all records, or in one where no other row
    has it too.
    """
    present: dict[str, set[str]] = {}
    if key == "title":
        finished = [record for record in records if record.status == "done"] or records
        for setting, shown in distinct_titles([record.trial for record in finished]).items():
            present.setdefault(shown, set()).add(setting)
    for record in records:
        value = KEYS[key](record.trial)
        present.setdefault(title(record.trial) if key == "title" else value, set()).add(value)
    return present


def holds(conditions: Conditions, record: Record) -> bool:
    """Say whether a record is meant. Floors and ceilings answer only to data set, backbone and subject.

    They have no shots, no constraint and their own methods, and stand beside every selection.
    """
    reference = role_of(record.trial["method"]) != "method"
    # Shots of 0 mean that the method does not look at any: it belongs beside every number of shots.
    return all(
        KEYS[key](record.trial) in values
        for key, values in conditions.items()
        if not (reference and key not in _SETTING) and not (key == "shots" and record.trial["shots"] == 0)
    )


def _number(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        return text
