"""From pictures to prompts to one number: means that weigh every prompt alike."""

from __future__ import annotations

import math
from collections.abc import Sequence


def by_prompt(values: Sequence[float | None], prompts: Sequence[int], count: int) -> list[float | None]:
    """Mean of the pictures of each prompt 0..count−1; None and NaN are left out, None where none remain.

    ``prompts[i]`` is the prompt of ``values[i]``. Sums are exact: the order of pictures changes nothing.
    """
    if len(values) != len(prompts):
        raise ValueError(f"{len(values)} values but {len(prompts)} prompt numbers")
    groups: list[list[float]] = [[] for _ in range(count)]
    for value, prompt in zip(values, prompts):
        if value is not None and not math.isnan(value):
            groups[prompt].append(float(value))
    return [mean(group) for group in groups]


def mean(values: Sequence[float | None]) -> float | None:
    """Exact mean of the values that are there; None where there are none."""
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
