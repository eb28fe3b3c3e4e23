"""A list where a scalar is expected is an axis of the sweep. Knows no key of an experiment."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

T = TypeVar("T")


def as_axis(value: Any) -> Any:
    """Read a scalar as an axis of one value. Raises ValueError for an empty list."""
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("needs at least one value: it is an axis of the sweep")
        return tuple(value)
    return (value,)


Axis = Annotated[tuple[T, ...], BeforeValidator(as_axis)]
Seed = Annotated[int, Field(ge=0)]
