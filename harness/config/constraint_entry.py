"""``lipschitz:`` as written: its keys are those of the kinds of constraint, and each may be an axis."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from harness.api import Lipschitz
from harness.config.axes import Axis
from harness.diffusion.constraints.registry import kinds
from harness.specs import Frozen

_OWN = frozenset(Lipschitz().settings())
"""Keys that every constraint has in a record; those of other kinds are there when the kind is used."""

_ADDED = {key: default for kind in kinds() for key, default in kind.added().items()}
"""Keys that came later: at their defaults they stand in no key and no record."""


class _LipschitzEntry(Frozen):
    """The constraint as written: every key may be an axis. Its keys are those of the kinds, and ``on``."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        used = [kind for kind in kinds() if getattr(self, kind.key) is not None]
        if not used:
            raise ValueError(f"needs {' or '.join(kind.noun for kind in kinds())}")
        for kind in kinds():
            alone = self.model_fields_set & (kind.fields().keys() - {kind.key} - _OWN)
            if alone and kind not in used:
                raise ValueError(f"{min(alone)} needs {kind.noun}")
        return self

    @model_serializer(mode="wrap")
    def _without_unused_kinds(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unused = {key for kind in kinds() if getattr(self, kind.key) is None for key in kind.fields()} - _OWN
        unused |= {key for key, default in _ADDED.items() if getattr(self, key) == (default,)}
        return {key: value for key, value in handler(self).items() if key not in unused}

    def each(self) -> Iterator[Lipschitz]:
        """Yield every constraint that the entry stands for."""
        used = [kind for kind in kinds() if kind.key in _OWN or getattr(self, kind.key) is not None]
        names = [*(key for kind in used for key in kind.fields()), "on"]
        for values in itertools.product(*(getattr(self, name) or (None,) for name in names)):
            chosen = zip(names, values, strict=True)
            yield Lipschitz.of(
                {key: value for key, value in chosen if key not in _ADDED or value != _ADDED[key]}
            )


def _entry() -> type[_LipschitzEntry]:
    """Build the model of ``lipschitz:`` from the kinds: their keys first, then what qualifies them."""
    strengths: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for kind in kinds():
        for name, (hint, default) in kind.fields().items():
            if name == kind.key:
                strengths[name] = (Axis[hint] | None, None)  # type: ignore[valid-type]
            else:
                options[name] = (Axis[hint], (default,))  # type: ignore[valid-type]
    options["on"] = (Axis[Literal["effective", "entries"]], (Lipschitz.on,))
    return create_model("LipschitzEntry", __base__=_LipschitzEntry, **strengths, **options)


if TYPE_CHECKING:
    LipschitzEntry = _LipschitzEntry
else:
    LipschitzEntry = _entry()
