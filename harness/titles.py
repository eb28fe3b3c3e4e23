"""What a row is called: the method's title, its Lipschitz constraint, and what else tells it from others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

PAPER = "P&P, the paper's method"
"""How the full fine-tune with the Lipschitz penalty is called beside its settings (arXiv 2505.19519)."""


def setting(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten what tells one row from another, save shots, subject and seed: ``{"params.lr": 1e-5, …}``."""
    flat: dict[str, Any] = {part: trial[part] for part in ("dataset", "backbone", "method", "title")}
    for part in ("params", "sampling", "lipschitz"):
        flat |= {f"{part}.{name}": value for name, value in (trial.get(part) or {}).items()}
    return flat


def title(trial: Mapping[str, Any]) -> str:
    """Name a method with its constraint: "DreamBooth + Lipschitz λ=500 (P&P, the paper's method)"."""
    constraint = trial.get("lipschitz") or {}
    words = []
    if (penalty := constraint.get("penalty")) is not None:
        words.append(f"λ={penalty:g}" + (" (sum)" if constraint.get("norm") == "sum" else ""))
    if (bound := constraint.get("bound")) is not None:
        words.append(f"‖Δθ‖≤{bound:g}" + ("·‖θ0‖" if constraint.get("relative") else ""))
    if not words:
        return str(trial["title"])
    if constraint.get("on") == "entries":
        words.append("on A, B")
    name = f"{trial['title']} + Lipschitz {', '.join(words)}"
    return f"{name} ({PAPER})" if _is_papers(trial) else name


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
    """Give each setting a title of its own: where two share one, what differs is added in parentheses."""
    settings = {json.dumps(setting(trial), sort_keys=True): trial for trial in trials}
    shared: dict[str, list[str]] = {}
    for key, trial in settings.items():
        shared.setdefault(title(trial), []).append(key)
    named = {}
    for name, keys in shared.items():
        flats = {key: setting(settings[key]) for key in keys}
        differing = [
            part
            for part in sorted({part for flat in flats.values() for part in flat})
            if len({json.dumps(flat.get(part), sort_keys=True) for flat in flats.values()}) > 1
        ]
        for key, flat in flats.items():
            extra = ", ".join(f"{part.rpartition('.')[2]}={_short(flat.get(part))}" for part in differing)
            named[key] = f"{name} ({extra})" if extra else name
    return named


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
