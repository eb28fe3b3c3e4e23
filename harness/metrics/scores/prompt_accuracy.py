"""Prompt following where ground truth is known: what a probe read against what a prompt asked for."""

from __future__ import annotations

from collections.abc import Mapping


def agreement(asked: Mapping[str, str], read: Mapping[str, str]) -> dict[str, float]:
    """1.0 or 0.0 for each attribute that the prompt asks for; KeyError where the probe does not read it."""
    return {name: float(read[name] == value) for name, value in asked.items()}


def share_right(answer: Mapping[str, float]) -> float | None:
    """Share of the asked attributes that a picture got right, 0..1; None where nothing was asked."""
    return sum(answer.values()) / len(answer) if answer else None
