"""What a row is called: the method's name, its Lipschitz constraint, and what else tells it from others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.diffusion.constraints.combination import Combination
from harness.specs import Readout


def counted(n: int, noun: str) -> str:
    """Write a number with its noun, plural in "s": "1 shot", "5 shots"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def fits_and_readouts(fits: int, trials: int) -> str:
    """Say how many fits stand behind trials, each of which is one readout: "4 fits, 24 readouts"."""
    return f"{counted(fits, 'fit')}, {counted(trials, 'readout')}"


def setting(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten what tells one row from another, save shots, subject and seed: ``{"params.lr": 1e-5, …}``.

    Title and label are no part of it: they decide nothing, and an amended experiment may have changed them.
    """
    flat: dict[str, Any] = {part: trial[part] for part in ("dataset", "backbone", "method")}
    flat |= {"precision": trial["precision"]} if "precision" in trial else {}
    for part in ("params", "sampling", "lipschitz", "alignment", "drift", "readout"):
        flat |= {f"{part}.{name}": value for name, value in (trial.get(part) or {}).items()}
    return flat


def identity(trial: Mapping[str, Any]) -> str:
    """Write the setting of a trial as JSON, keys sorted: the same for trials of one row."""
    return json.dumps(setting(trial), sort_keys=True)


def _behind(trial: Mapping[str, Any]) -> str:
    readout = Readout.of(trial)
    return f", {readout.words}" if readout else ""


def label(trial: Mapping[str, Any]) -> str:
    """Name a method without its constraint: "DreamBooth (lr=0.001)", "DreamBooth, α = 0.5"."""
    return _plain_label(trial) + _behind(trial)


def _plain_label(trial: Mapping[str, Any]) -> str:
    """Name a method without constraint and readout.

    Records of before have no label: theirs is the title with the constraint's short form taken off.
    """
    if "label" in trial:
        return str(trial["label"])
    full = str(trial["title"])
    if not (own := ", ".join(Combination.read(trial.get("lipschitz")).short)):
        return full
    alone, behind = f" ({own})", f", {own})"
    return full.removesuffix(behind) + ")" if full.endswith(behind) else full.removesuffix(alone)


def title(trial: Mapping[str, Any]) -> str:
    """Name a method with its constraint: "DreamBooth + Lipschitz λ=500 (P&P, the paper's method)"."""
    constraints = Combination.read(trial.get("lipschitz"))
    if not constraints:
        return label(trial)
    full = f"{_plain_label(trial)} + Lipschitz {', '.join(constraints.long)}"
    paper = None
    if not trial.get("alignment"):
        paper = constraints.known_as(trial["method"], trial.get("params", {}))
    return (f"{full} ({paper})" if paper else full) + _behind(trial)


def distinct_titles(trials: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Give each setting (:func:`identity`) a title of its own.

    The title that most of its trials have; where two settings share one, what differs is added behind.
    """
    settings: dict[str, list[Mapping[str, Any]]] = {}
    for trial in trials:
        settings.setdefault(identity(trial), []).append(trial)
    return titles_of(settings)


def titles_of(settings: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Do the same for trials that were gathered by their setting."""
    shared: dict[str, list[str]] = {}
    for key, members in settings.items():
        alike = {_named(trial): trial for trial in members}  # a title is made of setting and names alone
        given = Counter[str]()
        for names, count in Counter(map(_named, members)).items():
            given[title(alike[names])] += count
        shared.setdefault(min(given, key=lambda words: (-given[words], words)), []).append(key)
    return {
        key: f"{words} ({extra})" if (extra := _difference(key, keys)) else words
        for words, keys in shared.items()
        for key in keys
    }


def _named(trial: Mapping[str, Any]) -> tuple[object, object]:
    return trial.get("label"), trial.get("title")


def _difference(key: str, keys: Sequence[str]) -> str:
    flats = [json.loads(other) for other in keys]
    own = json.loads(key)
    differing = [
        part
        for part in sorted({part for flat in flats for part in flat})
        if len({json.dumps(flat.get(part), sort_keys=True) for flat in flats}) > 1
    ]
    return ", ".join(f"{part.rpartition('.')[2]}={_short(own.get(part))}" for part in differing)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
