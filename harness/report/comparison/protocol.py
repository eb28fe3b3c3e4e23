"""What experiments/PROTOCOL.md fixes before the run, as values: measures, margins, budgets, methods.

A test compares this with the file. Knows neither records nor statistics.
"""

from __future__ import annotations

from typing import NamedTuple


class Score(NamedTuple):
    """A measure: its column, what the protocol calls it, the margin within which it is the same."""

    name: str
    word: str
    margin: float


FIDELITY = Score("dino_context", "fidelity", 0.03)
COMPOSITION = Score("prompt_accuracy_accessory", "composition", 0.06)
KEPT_PRIOR = Score("prior_accuracy_other", "kept prior", 0.03)
SCORES = (FIDELITY, COMPOSITION, KEPT_PRIOR)
"""All three are better when higher."""

DRIFT = "noise_l2"
BUDGETS = (2.0, 3.0, 4.0)
MIDDLE = 3.0
"""The budget of Q2."""
NEEDED = 2
"""At so many of the budgets a method must dominate to dominate."""
LEVELS = (0.5, 0.6, 0.7)
"""Fidelities at which methods are compared at equal fidelity."""

PENALTY, PLAIN = "dreambooth+penalty", "dreambooth"
"""Keys of P&P and of the method that it is set against."""

OTHER_MARGIN = 0.03
"""For scores that the protocol does not name."""


def margin(name: str) -> float:
    """Give the margin m of a measure."""
    return next((score.margin for score in SCORES if score.name == name), OTHER_MARGIN)
