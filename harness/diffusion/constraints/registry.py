"""Which kinds of constraint there are: those of the modules in this package, found by looking."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from harness.diffusion.constraints.base import Constraint


@cache
def kinds() -> tuple[type[Constraint], ...]:
    """Give every kind, by rank. Raises TypeError where two kinds share a YAML key."""
    found = []
    for module in pkgutil.iter_modules(importlib.import_module(__package__).__path__, f"{__package__}."):
        for value in vars(importlib.import_module(module.name)).values():
            own = isinstance(value, type) and value.__module__ == module.name
            if own and issubclass(value, Constraint) and value is not Constraint:
                found.append(value)
    ranked = sorted(found, key=lambda kind: (kind.rank, kind.key))
    keys = [key for kind in ranked for key in kind.fields()]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise TypeError(f"several kinds of constraint have the key {twice[0]!r}")
    return tuple(ranked)
