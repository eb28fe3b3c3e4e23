"""Data sets by name, found where they lie: modules of this room and plug-ins. Importing this loads no torch.

A data set is one module that says what it is in ``DATASET``, a :class:`~.base.DatasetEntry`: a file beside
this one, or a module of an installed package under the entry points ``harness.datasets``. On a cluster a
plug-in must be installed on every node.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

import harness.datasets
from harness.datasets.base import Dataset, DatasetEntry, DatasetError
from harness.errors import one_of
from harness.plugins import Offer, by_name, only, plug_ins
from harness.specs import DatasetSpec

GROUP = "harness.datasets"


@cache
def _built_in() -> tuple[Offer, ...]:
    modules = [f"harness.datasets.{found.name}" for found in pkgutil.iter_modules(harness.datasets.__path__)]
    entries = {module: vars(importlib.import_module(module)).get("DATASET") for module in modules}
    return tuple(Offer(entry.name, module) for module, entry in entries.items() if entry is not None)


def offers() -> dict[str, tuple[Offer, ...]]:
    """Name → the data sets that go by it, sorted; imports no plug-in."""
    return by_name([*_built_in(), *plug_ins(GROUP)])


def entry(offer: Offer) -> DatasetEntry:
    """Return what a module says of its data set. Raises PlugInError, DatasetError where it says nothing."""
    found = vars(offer.load()).get("DATASET")
    if not isinstance(found, DatasetEntry) or found.name != offer.name:
        said = f"it is called {found.name!r}" if isinstance(found, DatasetEntry) else "DATASET is missing"
        raise DatasetError(
            f"data set {offer.name!r} of {offer.origin}: {said}; {offer.module} must say "
            f"DATASET = DatasetEntry(name={offer.name!r}, …)"
        )
    return found


def load_dataset(spec: DatasetSpec | str, *, cache: Path | None = None) -> Dataset:
    """Open a data set by name. ``cache``: where rendered photos are kept (default: the harness's own).

    Raises DatasetError for an unknown name or option, or a folder that cannot be used; PlugInError.
    """
    if isinstance(spec, str):
        spec = DatasetSpec(name=spec)
    found = offers()
    if spec.name not in found:
        raise DatasetError("dataset: " + one_of(spec.name, found, noun="data set"))
    chosen = entry(only(spec.name, found))
    if unknown := sorted(spec.options.keys() - set(chosen.options)):
        raise DatasetError(f"dataset.options: {one_of(unknown[0], chosen.options, noun='option')}")
    return chosen.open(spec, cache)
