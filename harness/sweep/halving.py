"""Asynchronous successive halving (Li et al., *A System for Massively Parallel Hyperparameter Tuning*, MLSys
2020, arXiv 1810.05934) in its stopping form: at a rung a proposal goes on where it is among the best so far.

Pure functions over merits; knows no trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def verdict(rung: int, merit: float, earlier: Sequence[float], reduction: int) -> dict[str, Any] | None:
    """Say why a proposal stops at a rung (steps); None where it goes on.

    It goes on among the best ⌈n / ``reduction``⌉ of the n that came to this rung so far, itself included;
    ``earlier`` are the merits of the others. The first always does; equals of the last to go on do too.
    """
    n = len(earlier) + 1
    places = math.ceil(n / reduction)
    needed = sorted([*earlier, merit], reverse=True)[places - 1]
    if merit >= needed:
        return None
    place = 1 + sum(other > merit for other in earlier)
    return {
        "rung": rung,
        "merit": merit,
        "needed": needed,
        "place": place,
        "of": n,
        "why": f"merit {merit:.3f} at {rung} steps: place {place} of {n}, the best {places} go on",
    }
