"""A certificate: what n fresh prompts prove of a trial's model, as JSON whose every byte is sealed.

Knows numbers and words: no model, no network, no torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import RecordsError
from harness.report.guarantees import fewest, mean_at_most, share_at_least, tolerance_limit
from harness.report.stats import mean

VERSION = 1
FILE = "certificate.json"
SHARES = (0.5, 0.9, 0.95)
"""Shares of all prior prompts for which a limit is stated; the last decides how many prompts are needed."""
ROUNDING = 1e-5
"""How far a cosine in single precision may lie outside of its range."""


@dataclass(frozen=True)
class Quantity:
    """What is measured on each prompt: its words, its range, and why it lies there (None: no upper end)."""

    words: str
    low: float = 0.0
    high: float | None = None
    why: str | None = None


QUANTITIES: Mapping[str, Quantity] = {
    "noise_l2": Quantity("‖Δε‖₂"),
    "relative_change": Quantity(
        "the relative change of the noise prediction (2‖Δε‖/(‖ε_θ‖ + ‖ε_θ0‖))",
        0.0,
        2.0,
        "the triangle inequality",
    ),
    "image_drift": Quantity("image drift (1 − cosine)", 0.0, 2.0, "a cosine lies in [−1, 1]"),
    "prior_accuracy_fall": Quantity("the prior accuracy lost", -1.0, 1.0, "both shares lie in [0, 1]"),
}

ASSUMPTIONS = (
    "Prompts, image seeds and noises are drawn independently of each other and of the fit, from the "
    "population that is described; the statements are about that population and no other.",
    "Nothing was chosen by these numbers: they prove less of a trial picked among several by them.",
    "Each statement holds with the stated confidence by itself, not all of them together.",
    "Numbers are of this model as these digests name it, at these timesteps, with this sampler.",
    "Of the distribution of the values nothing is assumed; the limits of means use the stated range alone.",
    "The ratios along the way are observed, not bounded: they are no guarantee for other prompts.",
)


def statements(
    values: Mapping[str, Sequence[float]], *, confidence: float, budget: float | None = None
) -> list[dict[str, Any]]:
    """State what the values of each quantity [n] prove: limits of shares, of the mean, the largest seen.

    budget  the ‖Δε‖₂ that the trial was held to before these prompts were drawn; None: there was none
    """
    found: list[dict[str, Any]] = []
    for name, quantity in QUANTITIES.items():
        if name in values:
            found += _of_quantity(name, quantity, values[name], confidence)
    if budget is not None and "noise_l2" in values:
        kept = sum(value <= budget for value in values["noise_l2"])
        share = share_at_least(kept, len(values["noise_l2"]), confidence)
        found.append({"of": "noise_l2", "kind": "budget", "limit": budget, "seen": kept, "share": share})
    return found


def _of_quantity(
    name: str, quantity: Quantity, raw: Sequence[float], confidence: float
) -> Iterator[dict[str, Any]]:
    high = math.inf if quantity.high is None else quantity.high
    values = [_rounded(value, quantity.low, high) for value in raw]
    for share in SHARES:
        limit = tolerance_limit(values, share, confidence)
        if limit is not None:
            yield {"of": name, "kind": "share", "share": share, "limit": limit}
    n = len(values)
    yield {"of": name, "kind": "largest", "limit": max(values), "share": share_at_least(n, n, confidence)}
    if quantity.high is not None:
        limit = mean_at_most(values, confidence, low=quantity.low, high=quantity.high)
        within = [quantity.low, quantity.high]
        yield {"of": name, "kind": "mean", "limit": limit, "seen": mean(values), "range": within}


def _rounded(value: float, low: float, high: float) -> float:
    """A value at the end of its range that rounding took beyond it; others stay, and are refused later."""
    return min(max(value, low), high) if low - ROUNDING <= value <= high + ROUNDING else value


def too_few(prompts: int, confidence: float) -> str | None:
    """Say why so many prompts cannot prove anything at this confidence; None where they can."""
    if not 0.5 <= confidence < 1:
        return f"--confidence {confidence:g}: a number from 0.5 to below 1 (0.95)"
    needed = max(2, fewest(SHARES[-1], confidence))
    if prompts >= needed:
        return None
    return (
        f"--prompts {prompts}: too few for a statement about {SHARES[-1]:.0%} of prior prompts with "
        f"{confidence:.4g} confidence; at least {needed}"
    )


# The document.


def sealed(body: Mapping[str, Any]) -> dict[str, Any]:
    """Add the seal: the sha256 of everything else, as canonical JSON."""
    return {**body, "seal": _seal(body)}


def to_bytes(certificate: Mapping[str, Any]) -> bytes:
    """Write a certificate as JSON."""
    return (json.dumps(certificate, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read(path: Path) -> dict[str, Any]:
    """Read a certificate whose bytes are those that were sealed. Raises RecordsError in one line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordsError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        found = json.loads(data)
        seal = found.pop("seal")
    except (ValueError, TypeError, AttributeError, KeyError):
        raise RecordsError(f"{path}: no certificate: not JSON with a seal") from None
    if found.get("certificate") != VERSION:
        raise RecordsError(
            f"{path}: a certificate of version {found.get('certificate')!r}; {VERSION} is read here"
        )
    if seal != _seal(found) or data != to_bytes({**found, "seal": seal}):
        raise RecordsError(f"{path}: was changed after it was sealed; it proves nothing")
    return found


def _seal(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(stated: Any, found: Any, *, tolerance: float, place: str = "") -> Iterator[str]:
    """Yield where two certificates' contents differ: numbers by more than ``tolerance``, relatively."""
    if isinstance(stated, Mapping) and isinstance(found, Mapping):
        for name in dict.fromkeys((*stated, *found)):
            where = f"{place}.{name}" if place else str(name)
            yield from differences(stated.get(name), found.get(name), tolerance=tolerance, place=where)
    elif isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        for number, pair in enumerate(zip(stated, found, strict=True)):
            yield from differences(*pair, tolerance=tolerance, place=f"{place}[{number}]")
    elif not _same(stated, found, tolerance):
        yield f"{place} is stated as {stated!r} and comes out as {found!r}"


def _same(stated: Any, found: Any, tolerance: float) -> bool:
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (stated, found))
    if not numbers:
        return bool(stated == found)
    return math.isclose(stated, found, rel_tol=tolerance, abs_tol=tolerance * 1e-3)


# In words.


def sentences(certificate: Mapping[str, Any]) -> list[str]:
    """Say what a certificate states, a sentence for each statement."""
    asked = certificate["asked"]
    sure = f"With {100 * asked['confidence']:.4g} % confidence"
    lines = [_training(certificate["training"])]
    lines += [f"{sure} {_words(each, asked['prompts'])}" for each in certificate["statements"]]
    lines += [
        f"Not stated: {QUANTITIES[name].words} ({why})." for name, why in certificate["missing"].items()
    ]
    return [*lines, *_ratios(certificate["local_lipschitz"])]


def _training(training: Mapping[str, Any]) -> str:
    bound, moved = training["bound"] or {}, f"‖Δθ‖₂ is {training['l2']:.4g}"
    held = []
    if "radius" in bound:
        held.append(f"training held ‖Δθ‖₂ ≤ {bound['radius']:.4g}")
    if "output_limit" in training:
        held.append(
            f"the mean ‖Δε‖₂ was held to {training['output_limit']:.4g} on the calibration probe, where "
            f"it is {training['calibration']:.4g}"
        )
    return f"{moved}; {' and '.join(held) if held else 'no bound was asked of the training'}."


def _words(statement: Mapping[str, Any], n: int) -> str:
    kind, limit = statement["kind"], f"{statement['limit']:.4g}"
    name = QUANTITIES[statement["of"]].words
    if kind == "mean":
        return f"the mean of {name} is at most {limit} (seen: {statement['seen']:.4g})."
    share = f"at least {_percent(statement['share'])} of prior prompts keep {name} ≤ {limit}"
    if kind == "largest":
        return f"{share}, the largest of {n}."
    if kind == "budget":
        return f"{share}, the budget ({statement['seen']} of {n} did)."
    return f"{share}."


def _percent(share: float) -> str:
    """A share rounded down to a tenth of a percent, so that it is not overstated."""
    return f"{math.floor(1000 * share + 1e-9) / 10:.4g} %"


def _ratios(local: Mapping[str, Any] | None) -> list[str]:
    if local is None:
        return ["The denoiser did not move: there is no ratio ‖Δε‖/‖Δθ‖."]
    at = ", ".join(f"{each['mean']:.4g} at α = {each['share']:g}" for each in local["along"])
    return [
        f"‖Δε‖/‖Δθ‖ on {local['prompts']} prompts × {local['timesteps']} timesteps, mean: "
        f"{local['at_base']['mean']:.4g} in the limit at the base model, then {at}; the largest seen is "
        f"{local['largest']:.4g}. Theorem 2 supposes one constant; the record has {local['recorded']:.4g}."
    ]
