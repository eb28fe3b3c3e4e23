"""All metrics by name: the entries of the modules in ``harness.metrics.measures``, found, not listed.

Imports neither torch, pandas nor numpy, so that the configuration, the keys and the tables may read it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterator

from harness.metrics import measures
from harness.metrics.measure import ATTRIBUTES, GROUPS, Direction, Measure, Place

__all__ = ["ATTRIBUTES", "GROUPS", "MEASURES", "Direction", "Measure", "of_sample_stage", "shown_in"]


def _entries() -> Iterator[Measure]:
    for found in pkgutil.iter_modules(measures.__path__):
        module = importlib.import_module(f"{measures.__name__}.{found.name}")
        for entry in module.ENTRIES:
            yield from entry.expanded()


def _by_name(entries: Iterator[Measure]) -> dict[str, Measure]:
    ordered = sorted(entries, key=lambda measure: measure.position)
    named = {measure.name: measure for measure in ordered}
    if len(named) < len(ordered):
        twice = sorted(name for name in named if sum(m.name == name for m in ordered) > 1)
        raise ValueError(f"two metrics share a name: {', '.join(twice)}")
    return named


MEASURES: dict[str, Measure] = _by_name(_entries())
"""Name → metric: scores, then drift measures, each kind in the order of its entries."""


def of_sample_stage(options: Collection[str] = ()) -> list[Measure]:
    """List the metrics that need the tuned weights; those of an option only if it is among ``options``."""
    found = [measure for measure in MEASURES.values() if measure.stage == "sample"]
    return [measure for measure in found if measure.option is None or measure.option in options]


def shown_in(place: Place) -> tuple[str, ...]:
    """Name the metrics that are shown in a place of :class:`~.measure.Shown`, by their ranks."""
    ranks = {name: getattr(measure.shown, place) for name, measure in MEASURES.items()}
    return tuple(sorted((name for name in ranks if ranks[name] is not None), key=lambda name: ranks[name]))
