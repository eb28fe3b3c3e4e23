"""Which photos are the shots: a seeded permutation of names, nested; and fingerprints of content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from harness.datasets.base import DatasetError
from harness.files import json_digest
from harness.metrics.registry import GROUPS

GROUP_PATTERN = ("class", "other", "class", "empty", "class", "other", "class", "other")
"""The groups of every 8 prior prompts: half of the class, three of other classes, one empty."""


def draw(names: Sequence[str], shots: int, seed: int, *, subject: str) -> list[str]:
    """Draw ``shots`` of the names: the first of a permutation that depends on the seed and the names alone.

    Names are ordered by a hash of (seed, name): the same everywhere and for ever, and fewer shots are always
    a part of more. Raises DatasetError where there are too few names.
    """
    if shots > len(names):
        raise DatasetError(
            f"subject {subject!r} has {len(names)} photos to learn from, {shots} shots are requested"
        )
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    return order[:shots]


def group_sizes(n: int) -> dict[str, int]:
    """Divide n prior prompts over the groups, 4 : 3 : 1, so that a larger n only adds to each."""
    return {group: sum(GROUP_PATTERN[i % 8] == group for i in range(n)) for group in GROUPS}


def fingerprint(*content: Any) -> str:
    """Hash JSON-able content to 16 hex digits."""
    return json_digest(content, 16)
