"""``readouts:`` as written: the points at which a fit is read out beside its own end.

Knows no method: whether a point lies on a method's course is for whoever expands the experiment to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from harness.specs import BUDGETS, Frozen, Readout

Steps = Annotated[int, Field(ge=1)]
Budget = Annotated[float, Field(gt=0)]


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


class ReadoutsEntry(Frozen):
    """Checkpoints along the course, interpolations, drift budgets by measure, merges by block within them.

    An empty one asks for none.
    """

    steps: tuple[Steps, ...] = ()
    scale: tuple[float, ...] = ()
    budget: dict[str, tuple[Budget, ...]] = Field(default_factory=dict)
    merge: dict[str, tuple[Budget, ...]] = Field(default_factory=dict)

    @field_validator("steps", "scale", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return _listed(value)

    @field_validator("scale")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for share in value:
            if not 0 <= share <= 1:
                raise ValueError(f"α = {share:g} must be between 0 (the base model) and 1 (the fit's end)")
        return value

    @field_validator("budget", "merge", mode="before")
    @classmethod
    def _known_measures(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("must be {measure: budgets}, e.g. {noise_l2: [2, 3, 4]}")
        for name in value:
            if name not in BUDGETS:
                raise ValueError(
                    f"no budget on {name!r}: α is sought without images; known: {', '.join(BUDGETS)}"
                )
        return {name: _listed(limits) for name, limits in value.items()}

    @model_validator(mode="after")
    def _none_twice(self) -> Self:
        every = list(self.each())
        if twice := _first_double(every):
            raise ValueError(f"{twice.short} is there twice")
        return self

    def each(self) -> Iterator[Readout]:
        """Yield every readout, in the order in which it is read."""
        for value in self.steps:
            yield Readout(kind="steps", value=value)
        for share in self.scale:
            yield Readout(kind="scale", value=share)
        for measure, limits in self.budget.items():
            for limit in limits:
                yield Readout(kind="budget", value=limit, measure=measure)
        for measure, limits in self.merge.items():
            for limit in limits:
                yield Readout(kind="merge", value=limit, measure=measure)

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "merge" or value}


def _first_double(readouts: Sequence[Readout]) -> Readout | None:
    return next((each for place, each in enumerate(readouts) if each in readouts[:place]), None)
