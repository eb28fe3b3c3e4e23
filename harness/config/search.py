"""``search:`` and ``over:`` as written: how many settings are tried, and within which ranges.

Knows no method: whether a hyperparameter can take a value is for whoever proposes it to ask.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from harness.config.axes import Seed
from harness.config.subjects import Subjects
from harness.errors import one_of
from harness.specs import Frozen

KINDS = ("log", "linear", "choice")
CONSTRAINT = "lipschitz"


class Range(Frozen):
    """What one setting may be: between two numbers, evenly (``linear``) or by ratios (``log``), or a choice.

    In a YAML: ``{log: [1.0e-5, 1.0e-3]}``, ``{choice: [50, 100]}``; a list is a choice, a scalar of one.
    """

    kind: Literal["log", "linear", "choice"]
    values: tuple[Any, ...]

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            data = {"choice": data}
        if len(data) != 1:
            raise ValueError("must be one of {log: [low, high]}, {linear: [low, high]}, {choice: […]}")
        ((kind, values),) = data.items()
        if kind not in KINDS:
            raise ValueError(one_of(kind, KINDS, noun="kind of range"))
        values = tuple(values) if isinstance(values, list | tuple) else (values,)
        _check_choice(values) if kind == "choice" else _check_ends(kind, values)
        return {"kind": kind, "values": values}

    @model_serializer
    def _written(self) -> dict[str, Any]:
        return {self.kind: list(self.values)}

    @property
    def bounded(self) -> bool:
        """Whether it is all between two numbers, not a choice."""
        return self.kind != "choice"

    def holds(self, value: Any) -> bool:
        """Say whether a value lies in the range."""
        if not self.bounded:
            return any(
                value == each and isinstance(value, bool) == isinstance(each, bool) for each in self.values
            )
        low, high = self.values
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _check_ends(kind: str, values: tuple[Any, ...]) -> None:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(values) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise ValueError(f"{kind} needs two numbers, the lower first")
    if kind == "log" and numbers[0] <= 0:
        raise ValueError("log needs numbers above 0")


def _check_choice(values: tuple[Any, ...]) -> None:
    if not values:
        raise ValueError("choice needs at least one value")
    for place, value in enumerate(values):
        if not isinstance(value, str | int | float | bool | None):
            raise ValueError(f"a choice is among words and numbers, {value!r} is neither")
        if value in values[:place]:
            raise ValueError(f"{value!r} is there twice")


class OverEntry(Frozen):
    """What a search varies of a method: ranges of its hyperparameters, and of its constraint's keys.

    In a YAML hyperparameters by name, the constraint's under ``lipschitz``.
    """

    params: dict[str, Range]
    lipschitz: dict[str, Range] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data or not isinstance(data.get(CONSTRAINT, {}), dict):
            raise ValueError("must be ranges by hyperparameter, those of the constraint under lipschitz")
        params = {name: value for name, value in data.items() if name != CONSTRAINT}
        return {"params": params, CONSTRAINT: data.get(CONSTRAINT, {})}

    @model_serializer
    def _written(self) -> dict[str, Any]:
        params = {name: each.model_dump() for name, each in self.params.items()}
        held = {name: each.model_dump() for name, each in self.lipschitz.items()}
        return params | ({CONSTRAINT: held} if held else {})

    def axes(self) -> dict[str, Range]:
        """Give every range by name, ``lipschitz.penalty`` for one of the constraint's."""
        return {**self.params, **{f"{CONSTRAINT}.{name}": each for name, each in self.lipschitz.items()}}


class SearchEntry(Frozen):
    """How settings are proposed: ``trials`` of them for every method and constraint that has an ``over``.

    algorithm  ``optuna``: its tree-structured Parzen estimator; ``random``; ``grid``: choices, shuffled
    seed       decides every proposal, together with the results of those before it
    scheduler  ``asha``: a proposal stops at a rung, a checkpoint of ``readouts.steps``, where it is not among
               the best 1/``reduction`` of those that came there; ``none``: all run to their end
    subjects   whom every proposal is tried on; None: the experiment's
    merit      measures whose geometric mean is sought; None: those of ``harness best``
    """

    algorithm: Literal["optuna", "random", "grid"] = "optuna"
    trials: Annotated[int, Field(ge=1)]
    seed: Seed = 0
    scheduler: Literal["asha", "none"] = "none"
    reduction: Annotated[int, Field(ge=2)] = 3
    subjects: Subjects | None = None
    merit: tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _listed_merit(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("merit"), str | list):
            merit = data["merit"]
            return {**data, "merit": (merit,) if isinstance(merit, str) else tuple(merit)}
        return data

    @model_serializer(mode="wrap")
    def _as_said(self, handler: Any) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}
