"""What a row is called: the method's name, its Lipschitz constraint, and what else tells it from others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

PAPER = "P&P, the paper's method"
"""How the full fine-tune with the Lipschitz penalty is called beside its settings (arXiv 2505.19519)."""


def counted(n: int, noun: str) -> str:
    """Write how many there are of what a plural "s" makes many: "1 shot", "5 shots"."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def setting(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten what tells one row from another, save shots, subject and seed: ``{"params.lr": 1e-5, …}``.

    The title is no part of it: it decides nothing, and an amended experiment may have changed it.
    """
    flat: dict[str, Any] = {part: trial[part] for part in ("dataset", "backbone", "method")}
    flat |= {"precision": trial["precision"]} if "precision" in trial else {}
    for part in ("params", "sampling", "lipschitz", "drift"):
        flat |= {f"{part}.{name}": value for name, value in (trial.get(part) or {}).items()}
    return flat


def identity(trial: Mapping[str, Any]) -> str:
    """Write the setting of a trial as JSON, keys sorted: the same for trials of one row."""
    return json.dumps(setting(trial), sort_keys=True)


def name(trial: Mapping[str, Any]) -> str:
    """Name a method without its constraint: "DreamBooth (lr=0.001, λ=500)" gives "DreamBooth (lr=0.001)"."""
    full = str(trial["title"])
    if not (own := ", ".join(marks(trial.get("lipschitz") or {}))):
        return full
    alone, behind = f" ({own})", f", {own})"
    return full.removesuffix(behind) + ")" if full.endswith(behind) else full.removesuffix(alone)


def marks(constraint: Mapping[str, Any]) -> list[str]:
    """Write a constraint in the short form of a trial's own title: ``["λ=500"]``, ``["B=0.5·‖θ0‖"]``."""
    found = []
    if (penalty := constraint.get("penalty")) is not None:
        found.append(f"λ={penalty:g}" + (" sum" if constraint.get("norm") == "sum" else ""))
    if (bound := constraint.get("bound")) is not None:
        found.append(f"B={bound:g}" + ("·‖θ0‖" if constraint.get("relative") else ""))
    return [*found, "on A, B"] if constraint.get("on") == "entries" else found


def title(trial: Mapping[str, Any]) -> str:
    """Name a method with its constraint: "DreamBooth + Lipschitz λ=500 (P&P, the paper's method)"."""
    constraint = trial.get("lipschitz") or {}
    words = []
    if (penalty := constraint.get("penalty")) is not None:
        words.append(f"λ={penalty:g}" + (" (sum)" if constraint.get("norm") == "sum" else ""))
    if (bound := constraint.get("bound")) is not None:
        words.append(f"‖Δθ‖≤{bound:g}" + ("·‖θ0‖" if constraint.get("relative") else ""))
    if not words:
        return name(trial)
    if constraint.get("on") == "entries":
        words.append("on A, B")
    full = f"{name(trial)} + Lipschitz {', '.join(words)}"
    return f"{full} ({PAPER})" if _is_papers(trial) else full


def _is_papers(trial: Mapping[str, Any]) -> bool:
    """The full fine-tune with the mean form of the penalty in place of prior preservation."""
    constraint = trial["lipschitz"]
    return (
        trial["method"] == "dreambooth"
        and (constraint.get("penalty") or 0) > 0
        and constraint.get("norm", "tensor_mean") == "tensor_mean"
        and constraint.get("bound") is None
        and not trial.get("params", {}).get("prior_weight")
    )


def distinct_titles(trials: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Give each setting (:func:`identity`) a title of its own.

    The title that most of its trials have; where two settings share one, what differs is added behind.
    """
    settings: dict[str, list[Mapping[str, Any]]] = {}
    for trial in trials:
        settings.setdefault(identity(trial), []).append(trial)
    shared: dict[str, list[str]] = {}
    for key, members in settings.items():
        given = Counter(title(trial) for trial in members)
        shared.setdefault(min(given, key=lambda words: (-given[words], words)), []).append(key)
    return {
        key: f"{words} ({extra})" if (extra := _difference(key, keys)) else words
        for words, keys in shared.items()
        for key in keys
    }


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
