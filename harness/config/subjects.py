"""``subjects:`` as written: names, or a split of the data set. Knows no data set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from harness.config.axes import as_axis
from harness.specs import Frozen

SPLITS = ("development", "test", "confirmation", "all")


class SubjectSplit(Frozen):
    """Subjects by split, the first ``count`` of them; ``confirmation`` has as many as are asked for."""

    split: Literal["development", "test", "confirmation", "all"]
    count: Annotated[int, Field(ge=1)] | None = None


def _as_subjects(value: Any) -> Any:
    if value in SPLITS:
        return SubjectSplit(split=value)
    if isinstance(value, str | list | tuple):
        return as_axis(value)
    if not isinstance(value, dict | SubjectSplit):
        raise ValueError("must be development, test, confirmation, all, names, or {split: …, count: …}")
    return value


Subjects = Annotated[
    Annotated[
        Annotated[tuple[str, ...], Tag("names")] | Annotated[SubjectSplit, Tag("split and count")],
        Discriminator(lambda value: "names" if isinstance(value, tuple) else "split and count"),
    ],
    BeforeValidator(_as_subjects),
]
"""The form decides which of the two it is, so that a mistake is explained in terms of what was written."""
